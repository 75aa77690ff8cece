"""An archive is hostile until proven otherwise: what no honest archive of a cell holds, and what nobody must unpack."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.archive import headers
from app.archive.headers import DIRECTORY, HARD_LINK, SYMLINK, Member, Records
from app.archive.manifest import FOLDER, Header
from app.archive.names import FILE, LINK, MAX_NAME, MAX_PART, Names, is_too_long_for_a_cell
from app.archive.names import FOLDER as FOLDER_NAME
from app.archive.order import VolumeOrder
from app.archive.reader import ReadMember
from app.archive.shown import readable
from app.archive.sparse import is_sparse, real_size
from app.errors import ArchiveError, Code

VOLUMES = b"services"
OWN = FOLDER.rstrip("/").encode()
_FIFO = ord("6")
_PLAIN = {headers.REGULAR, headers.OLD_REGULAR, headers.CONTIGUOUS, headers.GNU_SPARSE}
_TOP_LEVEL = {
    name.lower(): name
    for name in (
        b"config",
        b"data",
        VOLUMES,
        OWN,
        b".env",
        b"Makefile",
        b"docker-compose.yml",
        b"Caddyfile",
        b"Corefile",
    )
}
_MAX_OWNER = (1 << 32) - 1
_MAX_TIME = (1 << 63) * 10**9
_MAX_ATTRIBUTES = 256 << 10
_BELOW = "which lies below a link or a file of the same archive"
_SET_ID = 0o6000
_CAPABILITY = b"SCHILY.xattr.security.capability"
_TO_TIDY = re.compile(rb"(?:^|/)\.?(?:/|$)")
_DOT = ord(".")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what an archive may unpack to: `free_bytes` always, beyond that `expansion` times the archive's own size.

    `members` counts every member and every folder that a name implies, `cell_files` those that are not in a volume.
    """

    members: int = 5_000_000
    cell_files: int = 1_000_000
    expansion: int = 200
    free_bytes: int = 64 << 30


NO_LIMITS = Limits(1 << 62, 1 << 62, 1, 1 << 62)


def never(_: bytes) -> bool:
    """Allow no file of the cell to be setuid or setgid."""
    return False


def normal_name(name: bytes) -> bytes:
    """Give a member's name without `./`, doubled and closing slashes; the root itself is empty, `..` stays."""
    if not _TO_TIDY.search(name):
        return name
    start = b"/" if name.startswith(b"/") else b""
    return start + b"/".join(part for part in name.split(b"/") if part not in {b"", b"."})


def has_too_many_attributes(records: Records) -> bool:
    """Tell whether a member of the cell has more in its PAX records than 256 KiB; the kernel takes 64 KiB for each."""
    return bool(records) and sum(len(key) + len(value) for key, value in records.items()) > _MAX_ATTRIBUTES


def is_cell_file(name: bytes) -> bool:
    """Tell whether a normal name is one of the cell's own files, not of a volume and not of the archive itself."""
    return name.partition(b"/")[0] not in {b"", VOLUMES, OWN}


def area_of(name: bytes) -> bytes:
    """Give what a link must not leave: a volume's `services/<service>/<volume>`, `.cell-backup`, or empty: the cell."""
    if name.startswith(VOLUMES + b"/"):
        parts = name.split(b"/", 3)
        return b"/".join(parts[:3]) if len(parts) > 3 else b""
    return OWN if name == OWN or name.startswith(OWN + b"/") else b""


class Guard:
    """Look at every member in order; raises ArchiveError ARCHIVE_HOSTILE, which names the member and says why.

    `may_be_setuid` is asked about each setuid or setgid file of the cell, by its normal name. It is asked too about
    files with capabilities, which are the same thing under another name. `area` is that of the last member's folder,
    `is_in_volume` tells whether it is a volume's.
    """

    def __init__(self, limits: Limits, *, archive_size: int, may_be_setuid: Callable[[bytes], bool] = never) -> None:
        self._limits = limits
        self._most_bytes = max(limits.free_bytes, limits.expansion * archive_size)
        self._may_be_setuid = may_be_setuid
        self._names = Names()
        self._order: VolumeOrder | None = None
        self._members = self._cell_files = self._stream = self._unpacked = 0
        # the folder of the last member, and what follows from it for all that is in it
        self._folder: bytes | None = None
        self.area = b""
        self._is_cell = True
        self.is_in_volume = False
        self._is_above = False

    def stream(self, size: int) -> None:
        """Count bytes of the tar stream itself: headers, contents, and zeros behind its end."""
        self._stream += size
        if self._stream > self._most_bytes:
            raise self._too_large("The archive's tar stream")

    def declare(self, header: Header) -> None:
        """Learn which volumes the archive may hold, and in which order."""
        self._order = VolumeOrder(header)

    def look(self, read: ReadMember) -> bytes:
        """Give the member's normal name; raises MalformedTarError for a sparse member without a size."""
        member = read.member
        name = self._named(member.name)
        self._count(read)
        kind = self._kind(name, member)
        if name:
            earlier = self._names.add(name, kind)
            if self._is_above and self._order is not None and member.kind != DIRECTORY:
                raise hostile(name, "stands where a volume belongs and is no directory")
            if earlier:
                self._check_place(name, kind, earlier)
        return name

    def look_at_neighbour(self, name: bytes, size: int) -> bool:
        """Look at a volume's ordinary file, in the folder of the member before it; False where that is not what it is.

        Then, and where it would be one too many, nothing has happened, and `look` says what is wrong with it.
        """
        folder, _, last = name.rpartition(b"/")
        if folder != self._folder or not self.is_in_volume or not last or last[0] == _DOT or len(name) > MAX_PART:
            return False
        members, unpacked, most = self._members + 1, self._unpacked + size, self._limits.members
        if members > most or self._names.count >= most or unpacked > self._most_bytes:
            return False
        if earlier := self._names.add(name, FILE):
            self._check_place(name, FILE, earlier)
        self._members, self._unpacked = members, unpacked
        return True

    def look_at_file(self, name: bytes) -> None:
        """Look at a volume's file that is ordinary but perhaps for its name; it is not counted."""
        folder, _, last = name.rpartition(b"/")
        if folder != self._folder or not last or last[0] == _DOT or len(name) > MAX_PART:
            name = self._named(name)
        if earlier := self._names.add(name, FILE):
            self._check_place(name, FILE, earlier)

    def _named(self, name: bytes) -> bytes:
        """Give a name in its normal form, and get ready for its folder."""
        folder, _, last = name.rpartition(b"/")
        # most members follow one that was in the same folder, so that only the last part of their name is new
        if folder == self._folder and last and last[0] != _DOT and b"\0" not in last and len(name) <= MAX_PART:
            return name
        name = _checked(name, name)
        folder = name.rpartition(b"/")[0]
        if folder != self._folder:
            self._enter(name, folder)
        return name

    def _check_place(self, name: bytes, kind: int, earlier: int) -> None:
        if earlier and not kind == earlier == FOLDER_NAME:
            both = FOLDER_NAME in {kind, earlier}
            raise hostile(name, "is there as a directory and as something else" if both else "is there twice")

    def _enter(self, name: bytes, folder: bytes) -> None:
        """Look at what all members of a folder have in common."""
        self._folder = None
        if self._names.imply(folder):
            raise hostile(name, f"is a name {_BELOW}")
        self.area = area_of(name)
        self._is_cell = not self.area
        self.is_in_volume = self.area not in {b"", OWN}
        top = name.partition(b"/")[0]
        if _TOP_LEVEL.get(top.lower(), top) != top:
            raise hostile(name, f"has a name that differs from {_shown(_TOP_LEVEL[top.lower()])} in its case only")
        self._is_above = top == VOLUMES and not self.area
        if self._order is not None:
            self._check_volume(self._order, name)
        if folder and not self._is_above:
            # what lies right in the root or above a volume has not all of that in common
            self._folder = folder

    def _check_volume(self, order: VolumeOrder, name: bytes) -> None:
        """Refuse what lies below services/ in no volume that the header names, or comes when that has had its turn."""
        volume = self.area or name if name.partition(b"/")[0] == VOLUMES else b""
        if volume and not order.is_known(volume):
            raise hostile(name, "belongs to no volume that header.json names")
        if wrong := order.enter(volume):
            raise hostile(name, wrong)

    def _count(self, read: ReadMember) -> None:
        member = read.member
        self._members += 1
        self._cell_files += self._is_cell
        limits = self._limits
        if self._members > limits.members or self._names.count > limits.members or self._cell_files > limits.cell_files:
            raise ArchiveError(
                Code.ARCHIVE_HOSTILE,
                f"The archive has more members than are allowed; the last one looked at is {_shown(member.name)}.",
                hint="Raise CELL_BACKUP_MAX_MEMBERS if you trust where this file came from; "
                "it must be five times the number of the cell's own files.",
            )
        if member.size and not member.is_file:
            raise hostile(member.name, "has contents that its type does not have")
        if self._is_cell and not (
            0 <= member.uid < _MAX_OWNER and 0 <= member.gid < _MAX_OWNER and abs(member.mtime) < _MAX_TIME
        ):
            raise hostile(member.name, "has an owner or a time that no file can have")
        if self._is_cell and has_too_many_attributes(member.records):
            raise hostile(member.name, "has more extended attributes than a restore takes")
        size = member.size
        if is_sparse(member):
            size = max(size, real_size(read.block, member.records) or 0)
        self._unpacked += size
        if self._unpacked > self._most_bytes:
            raise self._too_large(_shown(member.name))

    def _too_large(self, what: str) -> ArchiveError:
        return ArchiveError(
            Code.ARCHIVE_HOSTILE,
            f"{what} unpacks to more than the {self._most_bytes} bytes that are allowed for an archive of this size.",
            hint="Raise CELL_BACKUP_MAX_EXPANSION if you trust where this file came from.",
        )

    def _kind(self, name: bytes, member: Member) -> int:
        """Give the kind of name that the member makes; refuse kinds and links that are not allowed where it is."""
        kind = member.kind
        if kind == DIRECTORY or (kind in _PLAIN and member.name.endswith(b"/")):
            if member.size:
                raise hostile(name, "is a directory with contents")
            return FOLDER_NAME
        if not name:
            raise hostile(member.name, "stands for the root and is no directory")
        if kind in _PLAIN or kind == HARD_LINK:
            if self._is_cell and (member.mode & _SET_ID or _CAPABILITY in member.records):
                self._check_privilege(name)
            return FILE if kind in _PLAIN else self._check_hard_link(name, member.link)
        if kind == SYMLINK:
            self._check_symlink(name, member.link)
            return LINK
        if kind == _FIFO and not self._is_cell:
            return FILE
        raise hostile(name, f"is a {member.kind_name}" if member.kind_name != "other" else "is of an unknown type")

    def _check_privilege(self, name: bytes) -> None:
        if not self._may_be_setuid(name):
            raise hostile(name, "is setuid, setgid or has capabilities, and the cell's own file does not")

    def _check_hard_link(self, name: bytes, link: bytes) -> int:
        target = _checked(link, name)
        known = self._names.kind_of(target)
        if not target or target == name or area_of(target) != self.area or is_cell_file(target) != is_cell_file(name):
            raise hostile(name, f"is a hard link to {_shown(link)}, outside of where it is itself")
        if known == FOLDER_NAME:
            raise hostile(name, f"is a hard link to {_shown(link)}, a directory")
        if not known or (self._is_cell and known != FILE):
            raise hostile(name, f"is a hard link to {_shown(link)}, which is no file that comes before it")
        if self._names.imply(target.rpartition(b"/")[0]):
            raise hostile(name, f"is a hard link to {_shown(link)}, {_BELOW}")
        return FILE

    def _check_symlink(self, name: bytes, target: bytes) -> None:
        if not target or b"\0" in target or len(target) > MAX_NAME:
            raise hostile(name, "is a link to nothing that can have a name")
        if not self._is_cell:
            return
        if target.startswith(b"/"):
            raise hostile(name, f"is a link to {_shown(target)}, outside of the cell")
        path, is_below = name.split(b"/")[:-1], False
        for part in target.split(b"/"):
            if part == b"..":
                # `..` behind a link leads elsewhere than it looks: what stands before it must be a folder
                if not path or (is_below and self._names.imply(b"/".join(path))):
                    raise hostile(name, f"is a link to {_shown(target)}, outside of the cell")
                path.pop()
            elif part not in {b"", b"."}:
                path.append(part)
                is_below = True


def hostile(name: bytes, why: str) -> ArchiveError:
    """Make the error for one member."""
    return ArchiveError(Code.ARCHIVE_HOSTILE, f"{_shown(name)} {why}.")


def _checked(raw: bytes, member: bytes) -> bytes:
    """Give the normal form of a name that cannot lead out of where it is."""
    if not raw or raw.startswith(b"/") or b"\0" in raw:
        raise hostile(member, f"has a name that is absolute, empty or holds a NUL: {raw[:80]!r}")
    name = normal_name(raw)
    if b".." in name and b".." in name.split(b"/"):
        raise hostile(member, "leaves its tree by '..'")
    if len(name) > MAX_PART and (
        len(name) - len(area_of(name)) > MAX_NAME or max(map(len, name.split(b"/"))) > MAX_PART
    ):
        raise hostile(member, "has a name that is longer than any file system takes")
    if is_cell_file(name) and is_too_long_for_a_cell(name):
        raise hostile(member, "has a name that is longer, or lies in more folders, than a restore takes")
    return name


def _shown(name: bytes) -> str:
    return readable(name[:200])
