"""One process at a time works on a cell, whatever Redis says: beside the service there may be the command line.

A worker that has the lease but finds the lock taken may kill who has it, if that is a worker whose lease was an older
one: it lost the lease, because it hangs or was stopped, and would go on with the cell when it wakes up. The lock's file
says who it is. The command line has no lease, says nothing and is never killed.
"""

import asyncio
import fcntl
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from app.errors import Code, JobError
from app.jobs.state_dir import private_directory

log = logging.getLogger("cell_backup.worker")

_PAUSE = 0.2
_GRACE = 2.0  # seconds for one that only just noticed that its lease is lost, and is about to end its job
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Say which worker has the lock: its process, so that no other one is taken for it, and its lease."""

    pid: int
    started: str
    namespace: str
    fence: int


@asynccontextmanager
async def working(state_dir: Path, *, fence: int | None = None, patient: bool = True) -> AsyncIterator[None]:
    """Hold the lock of everyone who works on the cell; wait for it, or raise JobError CELL_BUSY where not `patient`.

    `fence` is the number of a worker's lease; who has none, the command line, leaves it out.
    """
    descriptor = await asyncio.to_thread(_open, state_dir)
    try:
        waited = 0.0
        while not _taken(descriptor):
            if not patient:
                raise JobError(Code.CELL_BUSY, "The service works on this cell just now.")
            if fence is not None and waited >= _GRACE:
                _end_outdated(descriptor, fence)
            await asyncio.sleep(_PAUSE)
            waited += _PAUSE
        _say(descriptor, None if fence is None else _myself(fence))
        try:
            yield
        finally:
            _say(descriptor, None)
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


def _myself(fence: int) -> Holder:
    return Holder(os.getpid(), _started(os.getpid()), _namespace(), fence)


def _say(descriptor: int, holder: Holder | None) -> None:
    """Write who has the lock; where the disk is full nobody is named, and so nobody is killed."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        if holder is not None:
            os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)


def _holder(descriptor: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(descriptor, _LONGEST, 0)))
    except (ValueError, TypeError):  # nobody is named, or half a name
        return None


def _end_outdated(descriptor: int, fence: int) -> None:
    """Kill the worker that has the lock if it is one in sight, not this one, whose lease is older than `fence`."""
    holder = _holder(descriptor)
    if holder is None or holder.pid == os.getpid() or holder.fence >= fence or holder.namespace != _namespace():
        return
    try:
        process = os.pidfd_open(holder.pid)
    except OSError:  # it has ended
        return
    try:
        # compared once the process is held fast: its number cannot go to another one meanwhile
        if _started(holder.pid) == holder.started:
            log.error("worker %s lost the lease but works on; it is killed", holder.pid)
            signal.pidfd_send_signal(process, signal.SIGKILL)
    except OSError as error:
        log.warning("worker %s lost the lease but works on, and cannot be killed: %s", holder.pid, error)
    finally:
        os.close(process)


def _started(pid: int) -> str:
    """Give when a process began, in ticks since the machine started; its name may hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())
