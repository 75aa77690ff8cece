"""A member's headers as the tar that reads them wants them (see app.archive.dialects)."""

from dataclasses import replace

from app.archive import headers
from app.archive.dialects import Dialect
from app.archive.headers import BLOCK, NAME_FIELD, MalformedTarError, Member

GNU_MAGIC = b"ustar  \0"
_LONG = b"././@LongLink"
_LONGEST = 4095
_SPARSE = b"GNU.sparse."
_TOLD_ELSEWHERE = {b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"}
_TIMES = 1 << 63
_OLD_KINDS = {headers.OLD_REGULAR, headers.CONTIGUOUS}


def plain_headers(member: Member, dialect: Dialect) -> bytes:
    """Write new headers for a member; the map of a sparse one must be in its records or at the head of its data.

    Raises MalformedTarError for numbers that no file can have.
    """
    if not -_TIMES <= member.mtime // 10**9 < _TIMES:
        raise MalformedTarError("a time is beyond all times")
    records = {key: value for key, value in member.records.items() if key not in _TOLD_ELSEWHERE}
    if b"GNU.sparse.name" in records:
        records[b"GNU.sparse.name"] = member.name
    kind = headers.REGULAR if member.kind in _OLD_KINDS else member.kind
    plain = replace(member, kind=kind, uid=_owner(member.uid), gid=_owner(member.gid), records=records)
    return _gnu(plain) if dialect is Dialect.GNU else headers.encode(plain)


def _owner(number: int) -> int:
    """Give an owner's number as Linux has it: 32 bits, of which some tars write the upper half as negative numbers."""
    if not -(1 << 31) <= number < 1 << 32:
        raise MalformedTarError(f"an owner has the number {number}")
    return number % (1 << 32)


def expanded(member: Member, size: int) -> Member:
    """Describe a sparse member as the plain file of `size` bytes that it stands for."""
    records = {key: value for key, value in member.records.items() if not key.startswith(_SPARSE)}
    return replace(member, kind=headers.REGULAR, size=size, records=records)


def leads_out(name: bytes, link: bytes) -> bool:
    """Tell whether a symlink's relative target leaves the volume; Docker's engine takes no stream that has one.

    It looks at the words only, and at an absolute target as if it began in the link's directory (moby, pkg/archive).
    """
    depth = name.count(b"/") - name.startswith(b"./")
    for part in link.split(b"/"):
        if part == b"..":
            depth -= 1
        elif part not in {b"", b"."}:
            depth += 1
        if depth < 0:
            return True
    return False


def _gnu(member: Member) -> bytes:
    """Write headers of GNU tar's own format: no records, long names in members of their own, numbers in base 256."""
    long_name = _long(headers.GNU_LONG_NAME, member.name)
    long_link = _long(headers.GNU_LONG_LINK, member.link)
    return long_link + long_name + _gnu_block(member)


def _long(kind: int, name: bytes) -> bytes:
    if len(name) <= NAME_FIELD:
        return b""
    # busybox takes 4095 bytes at most, and puts a closing NUL where there is none; GNU tar too
    size = len(name) + (len(name) < _LONGEST)
    return _gnu_block(Member(_LONG, kind, size, mode=0o644)) + name + bytes(size - len(name) + headers.padding(size))


def _gnu_block(member: Member) -> bytes:
    block = bytearray(BLOCK)
    fields: list[tuple[int, bytes]] = [
        (0, member.name[:NAME_FIELD]),
        (100, _number(member.mode & 0o7777, 8)),
        (108, _number(member.uid, 8)),
        (116, _number(member.gid, 8)),
        (124, _number(member.size, 12)),
        (136, _number(member.mtime // 10**9, 12)),
        (156, bytes([member.kind])),
        (157, member.link[:NAME_FIELD]),
        (257, GNU_MAGIC),
    ]
    for start, value in fields:
        block[start : start + len(value)] = value
    headers.seal(block)
    return bytes(block)


def _number(value: int, width: int) -> bytes:
    """Write a numeric field, in base 256 with its first bit set where octal digits do not reach."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    raw = (value % (1 << 8 * width)).to_bytes(width, "big")
    return bytes([raw[0] | 0x80]) + raw[1:]
