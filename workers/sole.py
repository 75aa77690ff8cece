"""One process at a time works on a cell, whatever Redis says: beside the service there may be the command line."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.errors import Code, JobError
from app.jobs.state_dir import private_directory

_PAUSE = 0.2


@asynccontextmanager
async def working(state_dir: Path, *, patient: bool = True) -> AsyncIterator[None]:
    """Hold the lock of everyone who works on the cell; wait for it, or raise JobError CELL_BUSY where not `patient`."""
    descriptor = await asyncio.to_thread(_open, state_dir)
    try:
        while not _taken(descriptor):
            if not patient:
                raise JobError(Code.CELL_BUSY, "The service works on this cell just now.")
            await asyncio.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _open(state_dir: Path) -> int:
    private_directory(state_dir)
    return os.open(state_dir / "working.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
