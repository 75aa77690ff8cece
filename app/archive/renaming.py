"""Puts a path prefix before a member's names: in its header where that fits, else in an extended one before it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from app.archive import headers
from app.archive.headers import BLOCK, MalformedTarError, Member, Records, byte_sum
from app.archive.pax import check_agreement, parse_records

EXTENDED = {headers.PAX_NEXT, headers.GNU_LONG_NAME, headers.GNU_LONG_LINK, headers.PAX_GLOBAL}
_FILES = {headers.REGULAR, headers.OLD_REGULAR, headers.CONTIGUOUS, headers.GNU_SPARSE}
_KNOWN = _FILES | set(b"123456")
_NO_OWNERS = bytes(64)
_NO_NAMES = {b"", b"."}
_MAX_SIZE = 8 << 40


@dataclass(slots=True)
class HeaderGroup:
    """Hold the headers of one member: extended ones as they come, then its own block."""

    pax: bytes = b""
    long_name: bytes = b""
    long_link: bytes = b""
    block: bytes = b""
    extensions: tuple[bytes, ...] = ()

    def add_extended(self, block: bytes, payload: bytes) -> None:
        """Take one extended header; MalformedTarError for a global one, and for what readers weigh differently."""
        match block[156]:
            case headers.PAX_NEXT if not self.pax:
                self.pax = payload
            case headers.GNU_LONG_NAME:
                self.long_name = _long_name(payload)
            case headers.GNU_LONG_LINK:
                self.long_link = _long_name(payload)
            case headers.PAX_GLOBAL:
                raise MalformedTarError("it has a global extended header")
            case _:
                raise MalformedTarError("a member has two extended headers")

    def records(self) -> Records:
        """Give all that the extended headers say; MalformedTarError where they name the member twice."""
        records = parse_records(self.pax) if self.pax else {}
        for key, name in ((b"path", self.long_name), (b"linkpath", self.long_link)):
            if name and key in records:
                raise MalformedTarError("a member has two long names")
            if name:
                records[key] = name
        return records

    def describe(self) -> "Description":
        """Say what the headers mean; MalformedTarError where they contradict themselves or leave the volume."""
        block = self.block
        total = headers.checked(block)
        kind = block[156]
        if kind not in _KNOWN:
            raise MalformedTarError(f"a member has the unknown type {chr(kind)!r}")
        records = self.records()
        headers.check_facts(block, records)
        check_agreement(block, records)
        # most extended headers hold times and attributes only: those pass as they are
        if b"path=" not in self.pax and b"size=" not in self.pax and b"GNU.sparse" not in self.pax:
            records = {}
        name = self._name(records)
        size = headers.size_of(block, records)
        if size and kind not in _FILES:
            raise MalformedTarError(f"{name[:80]!r} has data that its type does not have")
        if not 0 <= size <= _MAX_SIZE:
            raise MalformedTarError(f"{name[:80]!r} claims to have {size} bytes")
        path = inner_path(name)
        link = inner_path(self._link(records)) if kind == headers.HARD_LINK else b""
        is_folder = kind == headers.DIRECTORY or (kind in _FILES and name.endswith(b"/"))
        if (not path and not is_folder) or (not link and kind == headers.HARD_LINK):
            raise MalformedTarError("something other than a directory stands for the volume itself")
        return Description(
            name=name,
            path=path,
            link=link,
            size=size,
            is_file=kind in _FILES and not is_folder,
            records=records,
            checksum=total,
        )

    def _name(self, records: Records) -> bytes:
        if name := records.get(b"GNU.sparse.name") or records.get(b"path") or self.long_name:
            return name
        name = headers.text(self.block[:100])
        if self.block[345] and self.block[257:265] == headers.POSIX_MAGIC:
            return headers.text(self.block[345:500]) + b"/" + name
        return name

    def _link(self, records: Records) -> bytes:
        return records.get(b"linkpath") or self.long_link or headers.text(self.block[157:257])


class Description(NamedTuple):
    """Say what a member's headers mean; `path` and `link` (hard links only) are relative to the volume."""

    name: bytes
    path: bytes
    link: bytes
    size: int
    is_file: bool
    records: Records
    checksum: int


def _long_name(payload: bytes) -> bytes:
    name = headers.text(payload)
    if not name:
        raise MalformedTarError("a long name is empty")
    return name


def as_member(group: HeaderGroup, told: Description, path: bytes, link: bytes) -> Member:
    """Give a member with all that its headers tell, under new names; `link` is empty but for hard links."""
    records = group.records()
    plain = headers.decode(group.block, records)
    return replace(plain, name=path, link=link or plain.link, size=told.size)


def inner_path(name: bytes) -> bytes:
    """Give a name without its leading `./`; MalformedTarError for one that is empty or leaves the volume."""
    path = name[2:] if name.startswith(b"./") else name
    if path.endswith((b".", b"/")) and set(path.split(b"/")) <= _NO_NAMES:
        path = b""
    if not name or path.startswith(b"/") or b"\0" in path or (b".." in path and b".." in path.split(b"/")):
        raise MalformedTarError(f"a member is called {name[:80]!r}")
    return path


def renamed_in_place(group: HeaderGroup, told: Description, path: bytes) -> bytes | None:
    """Give the member's block under its new path, or None where its other headers must change too."""
    if len(path) > headers.NAME_FIELD or told.records or told.link or group.long_name or group.long_link:
        return None
    block = group.block
    if block[345] or group.extensions:
        return None
    changed = byte_sum(path) - byte_sum(block[:100]) - byte_sum(block[148:156]) - byte_sum(block[265:329])
    return b"".join(
        (
            path.ljust(100, b"\0"),
            block[100:148],
            b"%06o\0 " % (told.checksum + 256 + changed),
            block[156:265],
            _NO_OWNERS,
            block[329:],
        )
    )


def renamed(group: HeaderGroup, told: Description, path: bytes, link: bytes) -> bytes:
    """Give new headers for the member: an extended one where it needs one, then its block and its extensions."""
    posix = group.block[257:265] == headers.POSIX_MAGIC
    fits = headers.split_name(path) if posix or len(path) <= headers.NAME_FIELD else None
    prefix, name = fits or (b"", path[: headers.NAME_FIELD])
    block = bytearray(group.block)
    block[:100] = name.ljust(100, b"\0")
    block[265:329] = _NO_OWNERS
    if posix:
        block[345:500] = prefix.ljust(headers.PREFIX_FIELD, b"\0")
    if link:
        block[157:257] = link[:100].ljust(100, b"\0")
    headers.seal(block)
    records = _new_records(group, told, path, link, fits=fits is not None)
    extended = headers.pax_block(records.items()) if records else b""
    return b"".join((extended, block, *group.extensions))


def _new_records(group: HeaderGroup, told: Description, path: bytes, link: bytes, *, fits: bool) -> Records:
    records = dict(told.records or parse_records(group.pax))
    records.pop(b"path", None)
    if b"GNU.sparse.name" in records:
        records[b"GNU.sparse.name"] = path
    elif not fits:
        records[b"path"] = path
    if group.long_link:
        records[b"linkpath"] = group.long_link
    if link:
        records.pop(b"linkpath", None)
        if len(link) > headers.NAME_FIELD:
            records[b"linkpath"] = link
    return records


def extended_size(block: bytes, limit: int) -> int:
    """Give the bytes of data behind an extended header's block; MalformedTarError beyond the limit."""
    headers.checked(block)
    size = headers.number(block[124:136])
    if not 0 < size <= limit:
        raise MalformedTarError(f"an extended header has {size} bytes")
    return size


def has_extension(block: bytes) -> bool:
    """Tell whether an old GNU sparse header is followed by blocks with more of its map."""
    return block[156] == headers.GNU_SPARSE and block[482] != 0


def next_extension(data: memoryview) -> tuple[bytes, bool]:
    """Give the first extension block of the data and whether another follows it."""
    block = bytes(data[:BLOCK])
    return block, block[504] != 0
