"""Whether the cell has at a path what the archive has there, byte for byte and attribute for attribute."""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from app.cell.restoring.attributes import read_xattrs
from app.cell.restoring.tree import Sort, Staged

_PIECE = 1 << 20
_SORTS = {stat.S_IFREG: Sort.FILE, stat.S_IFLNK: Sort.SYMLINK, stat.S_IFDIR: Sort.FOLDER}


class Comparison:
    """Compare staged paths with the cell's; what cannot be read is different.

    Owners count where they can be set at all; `exact_times` is false for archives that may know whole seconds only.
    """

    def __init__(self, root: Path, *, owners: bool, exact_times: bool, keep_going: Callable[[], None]) -> None:
        self._root = root
        self._owners = owners
        self._exact_times = exact_times
        self._keep_going = keep_going

    def same(self, staged: Staged, status: os.stat_result) -> bool:
        """Tell whether a restore of the path would change nothing; links between files are not looked at."""
        if sort_of(status) is not staged.sort or not self._same_facts(staged, status):
            return False
        try:
            return self._same_inside(staged, os.fsencode(self._root / staged.path))
        except OSError:
            return False

    def _same_facts(self, staged: Staged, status: os.stat_result) -> bool:
        wanted = staged.attributes
        if self._owners and (status.st_uid, status.st_gid) != (wanted.uid, wanted.gid):
            return False
        if staged.sort is Sort.FILE and status.st_size != staged.size:
            return False
        if staged.sort is not Sort.SYMLINK and stat.S_IMODE(status.st_mode) != wanted.mode:
            return False
        return self._same_time(wanted.mtime, status.st_mtime_ns)

    def _same_time(self, wanted: int | None, now: int) -> bool:
        if wanted is not None and not self._exact_times and wanted % 10**9 == 0:
            return wanted // 10**9 == now // 10**9
        return wanted in {None, now}

    def _same_inside(self, staged: Staged, path: bytes) -> bool:
        if read_xattrs(path) != staged.attributes.xattrs:
            return False
        if staged.sort is Sort.SYMLINK:
            return os.readlink(path) == staged.target  # noqa: PTH115 - a Path would tidy the target up
        return staged.sort is Sort.FOLDER or self._digest(path) == staged.digest

    def _digest(self, path: bytes) -> str:
        digest = hashlib.sha256()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                self._keep_going()
                digest.update(piece)
        return digest.hexdigest()


def sort_of(status: os.stat_result) -> Sort | None:
    """Give the sort of a path; None for what no archive of a cell has."""
    return _SORTS.get(stat.S_IFMT(status.st_mode))
