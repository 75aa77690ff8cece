"""The short way back: cuts a volume's prefix off the headers of a small, ordinary file (see app.archive.typical).

Whatever is in the least unusual, or wrong, is left to the long way, which decodes it and says what is wrong with it.
"""

import re
from struct import Struct
from typing import NamedTuple

from app.archive.dialects import Dialect
from app.archive.headers import (
    BLOCK,
    NAME_FIELD,
    PAX_NEXT,
    PLAIN_NUMBERS,
    POSIX_MAGIC,
    PREFIX_FIELD,
    REGULAR,
    byte_sum,
    split_name,
    text,
)
from app.archive.typical import checksum_of, is_harmless

# name, size, mtime, checksum, type, magic, prefix; see app.archive.headers
_HEADER = Struct("100s24x12s12s8sB100x8s80x155s")
_EXTENDED = 2 * BLOCK
_NO_PREFIX = bytes(PREFIX_FIELD)
_ONLY_TIME = re.compile(rb"[1-9][0-9]? mtime=([0-9]{1,11})(?:\.[0-9]+)?\n\0*")
_SLASH = b"/"[0]


class Cut(NamedTuple):
    """Hold a file's new headers; `data` is the offset of its contents, `path` its whole name in the archive."""

    head: bytes
    data: int
    size: int
    path: bytes


def cut_typical(buffer: bytes, at: int, volume: bytes, dialect: Dialect) -> Cut | None:
    """Give new headers for the file whose headers begin at `at`; None where it is not typical or not all there.

    Typical is: at most one extended header of one block that the dialect lets pass (or that says nothing which the
    file's own header doesn't), before a regular file's header below the volume with a right checksum.
    """
    extended = b""
    if len(buffer) - at >= _EXTENDED and buffer[at + 156] == PAX_NEXT:
        extended = buffer[at : at + _EXTENDED]
        at += _EXTENDED
    data = at + BLOCK
    if data > len(buffer):
        return None
    field, size, mtime, stored, kind, magic, lead = _HEADER.unpack_from(buffer, at)
    if kind != REGULAR or not PLAIN_NUMBERS.fullmatch(buffer, at + 100, at + 148):
        return None
    if extended and not _passes(extended, mtime, dialect):
        return None
    path = _path(field, lead, posix=magic == POSIX_MAGIC)
    if not path.startswith(volume) or path[-1] == _SLASH or b".." in path:
        return None
    checksum = checksum_of(buffer[at:data], stored)
    new = split_name(b"./" + path[len(volume) :]) if magic == POSIX_MAGIC else _short(b"./" + path[len(volume) :])
    if checksum is None or new is None:
        return None
    checksum += byte_sum(new[0]) + byte_sum(new[1]) - byte_sum(field) - (byte_sum(lead) if lead[0] else 0)
    head = b"".join(
        (
            extended if dialect is not Dialect.GNU else b"",
            new[1].ljust(NAME_FIELD, b"\0"),
            buffer[at + 100 : at + 148],
            b"%06o\0 " % checksum,
            buffer[at + 156 : at + 345],
            new[0].ljust(PREFIX_FIELD, b"\0") if lead[0] or new[0] else lead,
            buffer[at + 500 : data],
        )
    )
    return Cut(head, data, int(size[:-1], 8), path)


def _path(field: bytes, lead: bytes, *, posix: bool) -> bytes:
    """Give the name that stands in a header, empty where this is not the place to find it out."""
    if not lead[0]:
        return text(field)
    return text(lead) + b"/" + text(field) if posix else b""


def _short(name: bytes) -> tuple[bytes, bytes] | None:
    return (b"", name) if len(name) <= NAME_FIELD else None


def _passes(extended: bytes, mtime: bytes, dialect: Dialect) -> bool:
    """Tell whether an extended header may stay as it is or, for a dialect that knows none, may go."""
    if not is_harmless(extended):
        return False
    if dialect is Dialect.GNU:
        only_time = _ONLY_TIME.fullmatch(extended, BLOCK)
        return only_time is not None and int(only_time[1]) == int(mtime[:-1], 8)
    return b"SCHILY.acl" not in extended
