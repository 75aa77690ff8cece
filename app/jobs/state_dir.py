"""The directory this service keeps its own state in: nobody else looks inside."""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from app.errors import Code, InputError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LONGEST = 4096


def private_directory(path: Path) -> None:
    """Make the directory with mode 0700 where it is missing; raise InputError(INVALID_SETTING)."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(path, error.strerror or "cannot be made") from error


def private_file(path: Path, make: Callable[[], bytes]) -> bytes:
    """Read a short file that is ours alone; where it is missing, it is made with what `make` gives.

    Of processes that start at once, all find the same content. Raise InputError(INVALID_SETTING).
    """
    private_directory(path.parent)
    try:
        if not os.path.lexists(path):
            _create(path, make())
        return read_private(path)
    except OSError as error:
        raise unusable(path, error.strerror or "cannot be used") from error


def unusable(path: Path, reason: str, *, hint: str | None = None) -> InputError:
    """Say what is wrong with something in the state directory."""
    return InputError(
        Code.INVALID_SETTING,
        f"{path}: {reason}.",
        hint=hint or "Mend it, or let CELL_BACKUP_STATE_DIR name a directory that is this user's alone.",
    )


def _create(path: Path, content: bytes) -> None:
    """Write the file beside its place and link it there, so that whoever comes second finds a whole file."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        _write_new(draft, content)
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _write_new(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def replace_private(path: Path, content: bytes) -> None:
    """Put a new file of ours alone in the place of one, on disk when this returns; raise OSError."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        _write_new(draft, content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def read_private(path: Path, *, longest: int = _LONGEST) -> bytes:
    """Read a file of ours alone; raise OSError, or InputError(INVALID_SETTING) where others can get at it."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise unusable(path, "is no regular file")
        if status.st_uid != os.geteuid():
            raise unusable(path, f"belongs to user {status.st_uid}, not to {os.geteuid()}")
        if status.st_mode & _OTHERS:
            raise unusable(path, f"has mode {status.st_mode & 0o777:04o}, wider than 0600", hint=f"chmod 600 {path}")
        content = file.read(longest + 1)
    if len(content) > longest:
        raise unusable(path, f"is longer than {longest} bytes")
    return content


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let no other process that asks here change this file meanwhile; raise InputError(INVALID_SETTING)."""
    private_directory(path.parent)
    place = path.with_suffix(".lock")
    try:
        lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(place, error.strerror or "cannot be opened") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
