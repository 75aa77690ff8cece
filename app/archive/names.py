"""Millions of names in eight bytes each: which of a stream's members contradict one another."""

import os
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

FOLDER, FILE, LINK = 1, 2, 3
MAX_NAME = 4096
MAX_CELL_NAME = 2048
MAX_PART = 255
MAX_FOLDERS = 100
_KINDS = 3
# enough for 390 000 names: growing takes as long as taking them
_ROOM = 1 << 19
_KEY_BITS = 0xFFFF_FFFF_FFFF_FFFC


def is_too_long_for_a_cell(name: bytes) -> bool:
    """Tell whether a file of the cell has a name that no restore takes: it must still fit where it is staged.

    The kernel takes 4096 bytes with the path of the cell before it, and whoever removes a tree goes down into it.
    """
    return len(name) > MAX_CELL_NAME or name.count(b"/") > MAX_FOLDERS


class Names:
    """Remember the name and the kind of each member: a folder, a symbolic link, or a file of any other sort.

    An open table of keyed hashes, at most three quarters full, with the kind in the two lowest bits; `room` is how many
    it can hold before it grows, a power of two. Two names fall together in one of 10^5 archives with five million
    members; then the archive is refused.
    """

    def __init__(self, room: int = _ROOM) -> None:
        self.count = 0
        self._salt = os.urandom(16)
        self._table = _zeros(room)
        self._mask = len(self._table) - 1

    def kind_of(self, name: bytes) -> int:
        """Give FOLDER, FILE, LINK, or 0 for a name that was not there yet."""
        key = hash(self._salt + name) & _KEY_BITS
        table, mask = self._table, self._mask
        at = (key >> 2) & mask
        while (found := table[at]) and found ^ key > _KINDS:
            at = (at + 1) & mask
        return found & _KINDS

    def add(self, name: bytes, kind: int) -> int:
        """Take a name unless it is known; give the kind that it had, 0 where it is new."""
        # SipHash under a key of this process; the salt keeps it secret where PYTHONHASHSEED is set
        key = hash(self._salt + name) & _KEY_BITS
        table, mask = self._table, self._mask
        at = (key >> 2) & mask
        while found := table[at]:
            if found ^ key <= _KINDS:
                return found & _KINDS
            at = (at + 1) & mask
        table[at] = key | kind
        self.count += 1
        if self.count * 4 > mask * 3:
            self._grow()
        return 0

    def imply(self, folder: bytes) -> int:
        """Take a folder and those above it, which no later name may be; give the kind of one that is something else."""
        new = []
        while folder and (earlier := self.kind_of(folder)) != FOLDER:
            if earlier:
                return earlier
            new.append(folder)
            folder = folder.rpartition(b"/")[0]
        for name in new:
            self.add(name, FOLDER)
        return 0

    def _grow(self) -> None:
        old = self._table
        table = _zeros(2 * len(old))
        mask = len(table) - 1
        for entry in old:
            if entry:
                at = (entry >> 2) & mask
                while table[at]:
                    at = (at + 1) & mask
                table[at] = entry
        self._table, self._mask = table, mask


def _zeros(count: int) -> memoryview:
    """Make a table of zeros, which takes memory where it is written to, and gives it back at once when it is gone."""
    return memoryview(mmap(-1, 8 * count, flags=MAP_PRIVATE | MAP_ANONYMOUS)).cast("Q")
