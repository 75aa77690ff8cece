"""Finds the volumes from whose names only the prefix must go, which GNU tar takes off by itself.

Their members need not be looked at again when the archive is read for the second time: they pass as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.archive.guard import VOLUMES, normal_name
from app.archive.headers import DIRECTORY, HARD_LINK, REGULAR, SYMLINK, Member

# `services/<service>/<volume>`
DEPTH = 3
_FIFO = ord("6")
_KINDS = {REGULAR, DIRECTORY, SYMLINK, HARD_LINK, _FIFO}
# what else a record may say is converted, or is a sparse map that has to be looked at
_RECORDS = {b"path", b"linkpath", b"size", b"uid", b"gid", b"uname", b"gname", b"mtime", b"atime", b"ctime"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Say where in the tar stream the members of a plain volume stand, behind its root's, and how much they hold."""

    start: int
    end: int
    files: int = 0
    bytes: int = 0


class PlainVolumes:
    """Hear of an archive's members in order, and tell the plain volumes, by their prefix.

    Those begin with their root, and nothing in them has more to it than a name, an owner, a mode and times.
    """

    def __init__(self) -> None:
        self._volumes: dict[bytes, Stretch | None] = {}

    @property
    def found(self) -> Mapping[bytes, Stretch]:
        """Give the plain volumes."""
        return {volume + b"/": stretch for volume, stretch in self._volumes.items() if stretch is not None}

    def look(self, member: Member, name: bytes, volume: bytes, at: int) -> None:
        """Look at a member with this normal name, in this volume (empty: in none), whose headers end at the offset."""
        if volume:
            if volume not in self._volumes or not _is_plain(member, name):
                self._volumes[volume] = None
        elif name.startswith(VOLUMES + b"/") and name.count(b"/") == DEPTH - 1:
            is_root = name not in self._volumes and member.kind == DIRECTORY
            self._volumes[name] = Stretch(at, at) if is_root and _is_plain(member, name) else None

    def go_on(self, volume: bytes, end: int, files: int, size: int, *, plain: bool) -> None:
        """Hear that the volume goes on to this offset, with so much more in it; `plain` is of what was not seen."""
        stretch = self._volumes.get(volume)
        if stretch is not None:
            longer = Stretch(stretch.start, end, stretch.files + files, stretch.bytes + size)
            self._volumes[volume] = longer if plain else None


def _is_plain(member: Member, name: bytes) -> bool:
    told = member.name.removesuffix(b"/") if member.kind == DIRECTORY else member.name
    link_stays = member.kind != HARD_LINK or member.link == normal_name(member.link)
    # tar converts names in records to its locale, and not every C library leaves the bytes of others as they are
    names_stay = all(member.records.get(key, b"").isascii() for key in (b"path", b"linkpath"))
    is_known = member.kind in _KINDS and member.records.keys() <= _RECORDS
    return is_known and told == name and link_stays and names_stay
