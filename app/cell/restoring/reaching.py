"""Reaches files below the cell root by descriptors, so that no symlink in a path is ever followed."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Reach:
    """Open folders part by part below one root; paths are relative and surrogateescaped, the root is the empty one."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._last: tuple[str, int] | None = None

    def folder(self, path: str) -> int:
        """Give a descriptor that is good until the next call; OSError ENOTDIR or ELOOP where a part is no folder."""
        if path == "":
            return self._root
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        self.forget()
        descriptor = self._open(path)
        self._last = (path, descriptor)
        return descriptor

    def parent(self, path: str) -> tuple[int, str]:
        """Give the folder of a path, as `folder` does, and the name in it."""
        above, _, name = path.rpartition("/")
        return self.folder(above), name

    def look(self, path: str) -> os.stat_result | None:
        """Give what `lstat` says of a path, None where there is nothing."""
        try:
            here, name = self.parent(path)
            return os.stat(name, dir_fd=here, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def forget(self) -> None:
        """Let go of the last folder: it may be another one, or none, from now on."""
        if self._last is not None:
            os.close(self._last[1])
            self._last = None

    def close(self) -> None:
        """Let go of everything."""
        self.forget()
        os.close(self._root)

    def _open(self, path: str) -> int:
        descriptor = os.dup(self._root)
        for part in path.split("/"):
            above = descriptor
            try:
                descriptor = os.open(part, _FOLDER, dir_fd=above)
            finally:
                os.close(above)
        return descriptor


@contextmanager
def times_kept(folder: int) -> Iterator[None]:
    """Leave a folder's times as they are, whatever the block makes or removes in it."""
    before = os.fstat(folder)
    try:
        yield
    finally:
        with suppress(PermissionError):  # the folder is another user's, and who may write may not set times
            os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def is_folder(status: os.stat_result | None) -> bool:
    """Tell whether there is something, and it is a folder."""
    return status is not None and stat.S_ISDIR(status.st_mode)
