"""Puts a generated file in its place: whole or not at all, with the owner and mode of the file that was there."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.cell.documents import reason
from app.cell.generated.templates import FIRST_LINE
from app.errors import Code, PartError


def place(root: Path, relative: str, content: str, kept: Path) -> bool:
    """Write a file below the cell root unless it says so already; tell whether it was written.

    What somebody else had written there is kept as `kept`. A new file belongs to whom its folder belongs to. No link is
    followed on the way down. Raises PartError SWAP_FAILED.
    """
    *folders, name = Path(relative).parts
    data = content.encode()
    try:
        with _folder(root, folders) as folder:
            old = _read(folder, name)
            if old == data:
                return False
            if old is not None and not old.startswith(FIRST_LINE.encode()):
                keep(kept, old)
            _swap(folder, name, data)
            return True
    except OSError as error:
        raise PartError(Code.SWAP_FAILED, f"{relative} cannot be replaced: {reason(error)}.") from error


def keep(path: Path, data: bytes) -> None:
    """Write a private file of this service's own, atomically; OSError where that fails."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _written(descriptor, path.name, data) as temporary:
            os.replace(temporary, path.name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _folder(root: Path, names: list[str]) -> Iterator[int]:
    """Open a folder below the root, made where it is missing."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    current = os.open(root, flags)
    try:
        for name in names:
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=current)
                owner = os.fstat(current)
                os.chown(name, owner.st_uid, owner.st_gid, dir_fd=current, follow_symlinks=False)
            below = os.open(name, flags | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _read(folder: int, name: str) -> bytes | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "what lies there is no file")
        return file.read()


def _swap(folder: int, name: str, data: bytes) -> None:
    try:
        old = os.stat(name, dir_fd=folder, follow_symlinks=False)
        mode = stat.S_IMODE(old.st_mode)
    except FileNotFoundError:
        old, mode = os.fstat(folder), 0o644
    with _written(folder, name, data, old, mode) as temporary:
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


@contextmanager
def _written(
    folder: int, name: str, data: bytes, owner: os.stat_result | None = None, mode: int = 0o600
) -> Iterator[str]:
    """Write a temporary file, durably; it is gone after the block unless it was renamed.

    Its name is always the same, as one process at a time works on a cell: the next one removes what a dead one left.
    """
    temporary = f".cell-backup-{name}"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if owner is not None and (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fchmod(descriptor, mode)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
