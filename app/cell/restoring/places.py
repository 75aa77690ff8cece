"""Where files are staged and put aside: on the file system they go to, since a rename cannot leave it.

The cell root has `.cell-backup/restore/`; a folder inside where another file system is mounted, or the same one again
(a bind mount), or where a subvolume begins, has `.cell-backup-restore/` of its own.
"""

import ctypes
import os
import re
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.cell.patterns import ELSEWHERE
from app.cell.restoring.reaching import Reach, times_kept

HERE = ".cell-backup/restore"
STAGED, UNDO = "staged", "undo"
_PRIVATE = 0o700
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """Hold descriptors of one place's folders for new files and for old ones."""

    staged: int
    undo: int

    def close(self) -> None:
        """Let go of them."""
        os.close(self.staged)
        os.close(self.undo)

    def is_same(self, other: "Place") -> bool:
        """Tell whether another place is this one, by another way: the same folder may be mounted twice."""
        return os.path.samestat(os.fstat(self.staged), os.fstat(other.staged))


class Boundaries:
    """Know the folders below a root where a rename from outside ends: `place_of` gives the one that a path is in."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mounts = _mounts_below(root)
        self._known: dict[str, tuple[str, int | None]] = {"": ("", root.stat().st_dev)}

    def place_of(self, folder: str) -> str:
        """Name the place for what lies in a folder; one that does not exist yet will be in that of its parent."""
        return self._find(folder)[0]

    def is_one(self, path: str) -> bool:
        """Tell whether a path is a place's folder, or a file with another mounted over it."""
        return path in self._mounts or (path != "" and self.place_of(path) == path)

    def _find(self, folder: str) -> tuple[str, int | None]:
        unknown = []
        while folder not in self._known:
            unknown.append(folder)
            folder = folder.rpartition("/")[0]
        place, device = self._known[folder]
        for path in reversed(unknown):
            here = self._device(path) if device is not None else None
            if here is not None and (path in self._mounts or here != device):
                place = path
            device = here
            self._known[path] = place, device
        return place, device

    def _device(self, folder: str) -> int | None:
        """Give the device of a folder, None where there is none (or a symlink)."""
        try:
            status = os.lstat(self._root / folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev if stat.S_ISDIR(status.st_mode) else None


def folder_of(place: str) -> str:
    """Give the path of a place's own folder."""
    return f"{place}/{ELSEWHERE}" if place else HERE


def make_folder(reach: Reach, place: str) -> None:
    """Make a place's own folder where it is missing; the times of the folder that it is in stay."""
    path = ""
    for part in folder_of(place).split("/"):
        here = reach.folder(path)
        path = f"{path}/{part}" if path else part
        if reach.look(path) is None:
            with times_kept(here), suppress(FileExistsError):
                os.mkdir(part, _PRIVATE, dir_fd=here)


def make_place(reach: Reach, place: str) -> None:
    """Make a place, or what is missing of it."""
    make_folder(reach, place)
    for name in (STAGED, UNDO):
        with suppress(FileExistsError):
            os.mkdir(name, _PRIVATE, dir_fd=reach.folder(folder_of(place)))


def open_place(reach: Reach, place: str) -> Place:
    """Open the folders of a place."""
    here = reach.folder(folder_of(place))
    staged = os.open(STAGED, _FOLDER, dir_fd=here)
    try:
        return Place(staged, os.open(UNDO, _FOLDER, dir_fd=here))
    except OSError:
        os.close(staged)
        raise


def clear_place(place: Place) -> None:
    """Remove the files that a restore, settled while this place was away, has left in it; OSError where that fails."""
    for folder in (place.staged, place.undo):
        for name in os.listdir(folder):  # noqa: PTH208 - a descriptor
            if not name.isdecimal():
                continue
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)


def remove_elsewhere(reach: Reach, place: str) -> None:
    """Remove a place other than the cell root's, if it is there."""
    if reach.look(folder_of(place)) is None:
        return
    above = reach.folder(place)
    with times_kept(above):
        shutil.rmtree(ELSEWHERE, dir_fd=above)


def sync(descriptor: int) -> None:
    """Make a whole file system durable, 5 000 small files at once; OSError where the disk refuses."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _mounts_below(root: Path) -> frozenset[str]:
    """List what is mounted below a root, relative to it (proc(5), mountinfo: the fifth field, octal escapes)."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except FileNotFoundError:
        return frozenset()
    start = os.fsencode(root).rstrip(b"/") + b"/"
    points = (re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1], 8)]), line.split(b" ")[4]) for line in lines)
    return frozenset(os.fsdecode(point[len(start) :]) for point in points if point.startswith(start))
