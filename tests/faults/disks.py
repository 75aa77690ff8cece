"""Disks that are small, and disks that fail."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from typing_extensions import override

from app.catalog.local import LocalStore, PartialArchive

PAGE = 4096


@contextmanager
def small_disk(at: Path, size: int) -> Iterator[Path]:
    """Mount a file system in memory of so many bytes."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def leave_free(disk: Path, pages: int) -> None:
    """Fill a disk but for so many pages, or make the filling smaller."""
    ballast = disk / ".ballast"
    ballast.unlink(missing_ok=True)
    free = os.statvfs(disk).f_bavail
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (free - pages) * PAGE)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: what an ordinary user can have of a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


class FailingFile(FileIO):
    """Fail a write after so many bytes, or whatever needs the descriptor (which is what fsync does)."""

    def __init__(self, path: Path, error: int, *, after: int | None) -> None:
        super().__init__(path, "r+")
        self._error = error
        self._after = after
        self.written = 0

    @override
    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override] # less than FileIO takes
        self.written += len(data)
        if self._after is not None and self.written > self._after:
            raise OSError(self._error, os.strerror(self._error))
        return super().write(data) or 0

    @override
    def fileno(self) -> int:
        if self._after is None:
            raise OSError(self._error, os.strerror(self._error))
        return super().fileno()


class FailingStore(LocalStore):
    """Give archives on a disk that fails a write after so many bytes, or, where that is None, at fsync."""

    def __init__(self, directory: Path, *, after: int | None, error: int = errno.EIO) -> None:
        super().__init__(directory)
        self._after = after
        self._error = error

    @override
    @contextmanager
    def create(self, backup_id: str, *, encrypted: bool) -> Iterator[PartialArchive]:
        with super().create(backup_id, encrypted=encrypted) as archive:
            archive._file.close()
            archive._file = FailingFile(archive._partial, self._error, after=self._after)
            yield archive
