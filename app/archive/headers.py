"""Tar headers: 512-byte blocks, PAX records, and what fits where (POSIX.1-2017 pax, GNU tar's manual).

A header block, offsets in bytes:

    0   name 100      100 mode 8     108 uid 8      116 gid 8     124 size 12    136 mtime 12
    148 checksum 8    156 type 1     157 linkname 100             257 magic 6    263 version 2
    265 uname 32      297 gname 32   329 devmajor 8 337 devminor 8 345 prefix 155
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from zlib import adler32

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)

REGULAR = ord("0")
OLD_REGULAR = 0
HARD_LINK = ord("1")
SYMLINK = ord("2")
DIRECTORY = ord("5")
CONTIGUOUS = ord("7")
PAX_NEXT = ord("x")
PAX_GLOBAL = ord("g")
GNU_LONG_NAME = ord("L")
GNU_LONG_LINK = ord("K")
GNU_SPARSE = ord("S")

NAME_FIELD = 100
PREFIX_FIELD = 155
POSIX_MAGIC = b"ustar\x0000"
_OCTAL_LIMIT = {8: 8**7, 12: 8**11}
_BASE_256 = {0x80, 0xFF}
PLAIN_NUMBERS = re.compile(rb"(?:[0-7]{7}[\0 ]){3}(?:[0-7]{11}[\0 ]){2}")
_KIND_NAMES = {
    REGULAR: "file",
    OLD_REGULAR: "file",
    CONTIGUOUS: "file",
    GNU_SPARSE: "file",
    HARD_LINK: "hardlink",
    SYMLINK: "symlink",
    DIRECTORY: "directory",
    ord("3"): "char-device",
    ord("4"): "block-device",
    ord("6"): "fifo",
}

Records = dict[bytes, bytes]


class MalformedTarError(ValueError):
    """Say what is wrong with a tar stream; the reader or the relay turns it into an error with a code."""


@dataclass(frozen=True, slots=True)
class Member:
    """Describe one tar entry; `mtime` is in nanoseconds, `records` holds PAX records this description does not name."""

    name: bytes
    kind: int = REGULAR
    size: int = 0
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    link: bytes = b""
    records: Records = field(default_factory=dict)

    @property
    def kind_name(self) -> str:
        """Give the kind as a word."""
        return _KIND_NAMES.get(self.kind, "other")

    @property
    def is_file(self) -> bool:
        """Tell whether the entry carries file contents."""
        return is_file_kind(self.kind)


def is_file_kind(kind: int) -> bool:
    """Tell whether entries of a kind carry file contents."""
    return kind in {REGULAR, OLD_REGULAR, CONTIGUOUS, GNU_SPARSE}


def padding(size: int) -> int:
    """Give how many bytes follow `size` bytes of data up to the next block."""
    return -size % BLOCK


def text(raw: bytes) -> bytes:
    """Cut a header field at its first NUL."""
    return raw.partition(b"\0")[0]


def number(raw: bytes) -> int:
    """Read a numeric field: octal text, or base 256 where the first bit is set (GNU); MalformedTarError otherwise."""
    if raw[0] in _BASE_256:
        value = int.from_bytes(raw, "big") & ((1 << (8 * len(raw) - 1)) - 1)
        return value - (1 << (8 * len(raw) - 1)) if raw[0] & 0x40 else value
    # nearly everyone writes digits and one NUL or space; int() alone would also take signs and underscores
    digits = raw[:-1] if raw[-1] in b"\0 " else raw
    if not digits.isdigit():
        # GNU tar passes over one NUL before the digits, not over more
        digits = raw.removeprefix(b"\0").lstrip(b" ").rstrip(b" \0")
        if not digits:
            return 0
    try:
        if digits.isdigit():
            return int(digits, 8)
    except ValueError:
        pass
    raise MalformedTarError(f"a header has {digits[:12]!r} where a number belongs")


def byte_sum(data: bytes) -> int:
    """Add up at most 256 bytes, twenty times as fast as `sum`: the low half of Adler-32 is just that (RFC 1950)."""
    return adler32(data, 0) & 0xFFFF


def checked(block: bytes) -> int:
    """Give the sum of all bytes of a header whose checksum is right; MalformedTarError where it is wrong.

    The checksum counts its own field as eight spaces. Old tars summed signed bytes, so that is accepted too.
    """
    total = byte_sum(block[:256]) + byte_sum(block[256:])
    stored = block[148:156]
    unsigned = total - byte_sum(stored) + 256
    if stored == b"%06o\0 " % unsigned:
        return total
    # other numbers may be written in base 256, or left blank: this one not (GNU tar would take it for a wrong one)
    if stored[0] & 0x80 or not stored.strip(b" \0"):
        raise MalformedTarError("a header's checksum is wrong")
    expected = number(stored)
    if unsigned != expected and unsigned - 256 * sum(b > 127 for b in block) != expected:
        raise MalformedTarError("a header's checksum is wrong")
    return total


def build_records(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write PAX records; each begins with its own length, which counts itself."""
    out = []
    for key, value in records:
        rest = len(key) + len(value) + 3
        length = rest + len(str(rest))
        length = rest + len(str(length))
        out.append(b"%d %s=%s\n" % (length, key, value))
    return b"".join(out)


def pax_block(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write an extended header for the next member: its block, its records, its padding."""
    payload = build_records(records)
    head = _block(Member(name=b"./PaxHeaders/next", kind=PAX_NEXT, size=len(payload), mode=0o644), b"")
    return head + payload + bytes(padding(len(payload)))


def encode(member: Member) -> bytes:
    """Write a member's header, with an extended header before it where a fact does not fit (POSIX pax)."""
    records = dict(member.records)
    seconds, nanoseconds = divmod(member.mtime, 10**9)
    if nanoseconds or not 0 <= seconds < _OCTAL_LIMIT[12]:
        records[b"mtime"] = _decimal(member.mtime)
    split = split_name(member.name)
    if split is None:
        records[b"path"] = member.name
        split = (b"", member.name[:NAME_FIELD])
    if len(member.link) > NAME_FIELD:
        records[b"linkpath"] = member.link
    if member.size >= _OCTAL_LIMIT[12]:
        records[b"size"] = b"%d" % member.size
    for key, value in ((b"uid", member.uid), (b"gid", member.gid)):
        if value >= _OCTAL_LIMIT[8]:
            records[key] = b"%d" % value
    head = _block(member, split[0], split[1])
    return pax_block(records.items()) + head if records else head


def split_name(name: bytes) -> tuple[bytes, bytes] | None:
    """Split a name into the prefix and name fields of a POSIX header; None where it does not fit."""
    if len(name) <= NAME_FIELD:
        return b"", name
    cut = name.find(b"/", len(name) - NAME_FIELD - 1, len(name) - 1)
    return (name[:cut], name[cut + 1 :]) if 0 < cut <= PREFIX_FIELD else None


def decode(block: bytes, records: Records) -> Member:
    """Read a header together with the records of the extended headers before it."""
    checked(block)
    prefix = text(block[345:500]) if block[257:265] == POSIX_MAGIC else b""
    name = text(block[:100])
    mtime = records.get(b"mtime")
    size = size_of(block, records)
    return Member(
        name=records.get(b"GNU.sparse.name") or records.get(b"path") or (prefix + b"/" + name if prefix else name),
        kind=block[156],
        size=size,
        mode=number(block[100:108]),
        uid=decimal(records[b"uid"]) if b"uid" in records else number(block[108:116]),
        gid=decimal(records[b"gid"]) if b"gid" in records else number(block[116:124]),
        mtime=nanoseconds(mtime) if mtime else number(block[136:148]) * 10**9,
        link=records.get(b"linkpath") or text(block[157:257]),
        records=records,
    )


def size_of(block: bytes, records: Records) -> int:
    """Give how many bytes of contents follow; the header's own field must be good too, as GNU tar reads it first."""
    size, told = number(block[124:136]), records.get(b"size")
    if size < 0:
        raise MalformedTarError(f"a member claims to have {size} bytes")
    return size if told is None else decimal(told)


def check_facts(block: bytes, records: Records) -> None:
    """Raise MalformedTarError where `decode` would: for a number or a time that cannot be read."""
    if not PLAIN_NUMBERS.fullmatch(block, 100, 148):
        for start, end in ((100, 108), (108, 116), (116, 124), (124, 136), (136, 148)):
            number(block[start:end])
    check_records(records)


def check_records(records: Records) -> None:
    """Raise MalformedTarError where a record's number or time cannot be read."""
    for key in records.keys() & {b"uid", b"gid", b"size"}:
        decimal(records[key])
    if mtime := records.get(b"mtime"):
        nanoseconds(mtime)


def decimal(raw: bytes) -> int:
    """Read a whole number of a PAX record."""
    if not raw.isdigit() or len(raw) > 20:
        raise MalformedTarError(f"a PAX record has {raw[:20]!r} where a number belongs")
    return int(raw)


def nanoseconds(raw: bytes) -> int:
    """Read a PAX time, seconds with any number of decimals, as nanoseconds."""
    sign, digits = (-1, raw[1:]) if raw[:1] == b"-" else (1, raw)
    whole, _, part = digits.partition(b".")
    if not whole.isdigit() or len(whole) > 20 or (part and not part.isdigit()):
        raise MalformedTarError(f"a PAX record has {raw[:20]!r} where a time belongs")
    return sign * (int(whole) * 10**9 + int(part[:9].ljust(9, b"0")))


def _decimal(mtime: int) -> bytes:
    seconds, part = divmod(abs(mtime), 10**9)
    return b"%s%d.%09d" % (b"-" if mtime < 0 else b"", seconds, part)


def _octal(value: int, width: int) -> bytes:
    """Write a numeric field; what does not fit stands in a PAX record and is zero here."""
    return b"%0*o\0" % (width - 1, value if 0 <= value < _OCTAL_LIMIT[width] else 0)


def _block(member: Member, prefix: bytes, name: bytes | None = None) -> bytes:
    block = bytearray(BLOCK)
    shown = member.name if name is None else name
    block[0 : len(shown)] = shown
    block[100:108] = _octal(member.mode & 0o7777, 8)
    block[108:116] = _octal(member.uid, 8)
    block[116:124] = _octal(member.gid, 8)
    block[124:136] = _octal(member.size, 12)
    block[136:148] = _octal(member.mtime // 10**9, 12)
    block[156] = member.kind
    link = member.link[:NAME_FIELD]
    block[157 : 157 + len(link)] = link
    block[257:265] = POSIX_MAGIC
    block[345 : 345 + len(prefix)] = prefix
    seal(block)
    return bytes(block)


def seal(block: bytearray) -> None:
    """Put the right checksum into a header."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
