"""How much of an archive is kept in memory: the names and extended attributes of what it has of the cell."""

import sys

from app.cell.restoring.attributes import Attributes
from app.errors import ArchiveError, Code

MAX_BYTES = 256 << 20  # a million files with names of 100 letters, and ACLs, take 200
_EMPTY = sys.getsizeof("")


class Remembered:
    """Count the bytes of names and extended attributes; those of the folders that a path implies count too, once."""

    def __init__(self) -> None:
        self._left = MAX_BYTES
        self._folders = {""}

    def add(self, path: str, attributes: Attributes, target: bytes = b"") -> None:
        """Count one member; ArchiveError ARCHIVE_HOSTILE where there is too much."""
        self._take(_bytes(path) + len(target))
        for name, value in attributes.xattrs.items():
            self._take(_bytes(name) + len(value))
        folder = path.rpartition("/")[0]
        while folder not in self._folders:
            self._take(_bytes(folder))
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            message = f"The names and extended attributes of the cell's files take more than {MAX_BYTES} bytes."
            hint = "No cell has that many. Look at what is in the archive with tar, where it can do no harm."
            raise ArchiveError(Code.ARCHIVE_HOSTILE, message, hint=hint)


def _bytes(text: str) -> int:
    """Give what the letters of a text take: up to four bytes each, where one is an emoji."""
    return sys.getsizeof(text) - _EMPTY
