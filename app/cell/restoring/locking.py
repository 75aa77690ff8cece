"""One restore of a cell at a time: whoever holds the lock in the workspace may use it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.cell.documents import reason
from app.cell.restoring.places import HERE, make_folder
from app.cell.restoring.reaching import Reach
from app.cell.restoring.staged_file import FULL
from app.errors import Code, InputError, JobError

LOCK = "lock"
_TRIES = 10


def real_root(root: Path) -> Path:
    """Give the cell root without links; InputError CELL_ROOT_MISSING or CELL_ROOT_UNREADABLE."""
    try:
        with os.scandir(root):
            return Path(os.path.realpath(root))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(Code.CELL_ROOT_MISSING, f"The cell root {root} does not exist.") from error
    except OSError as error:
        message = f"The cell root {root} cannot be read: {reason(error)}."
        raise InputError(Code.CELL_ROOT_UNREADABLE, message) from error


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of the workspace, made where it is missing; JobError CELL_BUSY where another process holds it."""
    with failing(root):
        descriptor = _lock(root)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(root: Path) -> int:
    reach = Reach(root)
    try:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # another restore has just ended, and took its folder with it
                make_folder(reach, "")
                descriptor = os.open(root / HERE / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                if _take(descriptor, root / HERE / LOCK):
                    return descriptor
    finally:
        reach.close()
    raise _busy(root)


def _take(descriptor: int, path: Path) -> bool:
    """Lock an open file; False (and closed) where it is not the one under its name any more."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return True
    except BlockingIOError as error:
        os.close(descriptor)
        raise _busy(path.parents[2]) from error
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return False


def _busy(root: Path) -> JobError:
    return JobError(Code.CELL_BUSY, f"Another process restores {root}.")


@contextmanager
def failing(root: Path) -> Iterator[None]:
    """Turn an OSError in the block into JobError SPACE_MISSING or SWAP_FAILED, naming the workspace."""
    try:
        yield
    except OSError as error:
        message = f"The folder {root / HERE} cannot be used: {reason(error)}."
        raise JobError(Code.SPACE_MISSING if error.errno in FULL else Code.SWAP_FAILED, message) from error
