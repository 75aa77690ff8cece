"""One new file beside the cell: its contents as they come, its attributes once it is whole."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from app.cell.documents import printable, reason
from app.cell.restoring.attributes import Attributes, give_to, set_mode, set_xattrs
from app.errors import Code, JobError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FULL = {errno.ENOSPC, errno.EDQUOT}
_KEEP_FREE, _KEEP_SHARE = 64 << 20, 100
_LOOK_EVERY = 8 << 20
SET_ID = 0o6000  # not for another owner than it was meant for


class StagedFile:
    """Write a new file in a place, 0600 until it has its attributes; `close` may be called at any time, and again."""

    def __init__(self, folder: int, name: str) -> None:
        check_room(folder)
        self._folder = folder
        self._file: int | None = os.open(name, _NEW, 0o600, dir_fd=folder)
        self._unlooked = 0

    def write(self, offset: int, piece: memoryview | bytes) -> None:
        """Write every byte of a piece at its offset; what lies between pieces stays a hole."""
        assert self._file is not None
        view = memoryview(piece)
        self._unlooked += len(view)
        if self._unlooked > _LOOK_EVERY:
            self._unlooked = 0
            check_room(self._folder)
        while view:
            written = os.pwrite(self._file, view, offset)
            offset, view = offset + written, view[written:]

    def finish(self, size: int, wanted: Attributes) -> tuple[list[str], bool]:
        """Give the file its size and attributes; say which xattrs were refused, and whether it has its owner."""
        assert self._file is not None
        if os.fstat(self._file).st_size != size:
            os.ftruncate(self._file, size)
        owned = _is_owned(self._file, wanted) or give_to(self._file, wanted)
        refused = set_xattrs(self._file, wanted.xattrs)  # also where none are wanted: ACLs are inherited
        owned = set_mode(self._file, wanted.mode if owned else wanted.mode & ~SET_ID) and owned
        if wanted.mtime is not None:
            os.utime(self._file, ns=(wanted.mtime, wanted.mtime))
        self.close()
        return refused, owned

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def dress_link(folder: int, name: str, wanted: Attributes) -> tuple[list[str], bool]:
    """Give a symlink its attributes; say which xattrs were refused, and whether it has its owner."""
    owned = True
    try:
        os.chown(name, wanted.uid, wanted.gid, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EINVAL}:
            raise
        owned = False
    # xattrs know no directory descriptors
    refused = set_xattrs(f"/proc/self/fd/{folder}/{name}", wanted.xattrs) if wanted.xattrs else []
    if wanted.mtime is not None:
        os.utime(name, ns=(wanted.mtime, wanted.mtime), dir_fd=folder, follow_symlinks=False)
    return refused, owned


def check_room(folder: int) -> None:
    """Raise JobError SPACE_MISSING where a file system has no more free than the cell needs to go on running."""
    disk = os.fstatvfs(folder)
    free, keep = disk.f_bavail * disk.f_frsize, max(_KEEP_FREE, disk.f_blocks * disk.f_frsize // _KEEP_SHARE)
    if free < keep:
        message = f"The disk of the cell has {free} bytes free, and a restore leaves {keep} free."
        raise JobError(Code.SPACE_MISSING, message)
    spare = disk.f_files // _KEEP_SHARE  # a file system that makes inodes as they are needed counts none
    if disk.f_favail < spare:
        message = f"The disk of the cell has {disk.f_favail} inodes free, and a restore leaves {spare} free."
        raise JobError(Code.SPACE_MISSING, message, hint="Remove files that nobody needs, or make the disk larger.")


@contextmanager
def storing(path: str) -> Iterator[None]:
    """Turn an OSError in the block into JobError SPACE_MISSING or SWAP_FAILED, naming the path."""
    try:
        yield
    except OSError as error:
        code = Code.SPACE_MISSING if error.errno in FULL else Code.SWAP_FAILED
        raise JobError(code, f"{printable(path)} cannot be stored beside the cell: {reason(error)}.") from error


def _is_owned(file: int, wanted: Attributes) -> bool:
    now = os.fstat(file)
    return (now.st_uid, now.st_gid) == (wanted.uid, wanted.gid)
