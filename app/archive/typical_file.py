"""What nearly every member of a volume is, read in a third of the time: an ordinary file behind plain headers.

A mailbox has hundreds of thousands of such files, so this decides how fast it is restored. Whatever is in the least
unusual, or wrong, is left to the long way, which decodes it and says what is wrong with it.
"""

import re
from struct import Struct
from typing import NamedTuple
from zlib import adler32

from app.archive.headers import BLOCK, PAX_NEXT, POSIX_MAGIC, REGULAR, MalformedTarError, check_records
from app.archive.pax import parse_records

# name, size, checksum, type, magic, first byte of the prefix; see app.archive.headers
_HEADER = Struct("100s24x12s12x8sB100x8s80xB")
_DIGITS = bytes.maketrans(b"1234567 ", b"0000000\0")
_NUMBERS = b"0000000\0" * 3 + b"00000000000\0" * 2
_EXTENDED = 2 * BLOCK
_HALF = BLOCK // 2
_ONLY_TIME = re.compile(rb"([1-9][0-9]?) mtime=-?[0-9]{1,19}(?:\.[0-9]+)?\n")
_SLASH = b"/"[0]
# the size field of an extended header that holds one record of so many bytes, by the record's own length
_LENGTHS = {b"%d" % length: b"%011o\0" % length for length in range(100)}


class TypicalFile(NamedTuple):
    """Say where a file's own header and its contents begin, and what the header says; `path` is its whole name."""

    own: int
    data: int
    size: int
    path: bytes
    checksum: int


def typical_file(buffer: bytes, at: int) -> TypicalFile | None:
    """Read the headers that begin at `at`; None where they are not typical or not all there.

    Typical is: at most one extended header of one block, which holds neither names nor sizes, before a regular file's
    header with plain numbers and a name that is no folder's; the checksums are right, and written as most do.
    """
    end = len(buffer)
    if end - at >= _EXTENDED and buffer[at + 156] == PAX_NEXT:
        if not _is_harmless(buffer, at):
            return None
        at += _EXTENDED
    data = at + BLOCK
    if data > end:
        return None
    field, size, stored, kind, magic, lead = _HEADER.unpack_from(buffer, at)
    if kind != REGULAR or buffer[at + 100 : at + 148].translate(_DIGITS) != _NUMBERS:
        return None
    path = field.partition(b"\0")[0]
    if lead:
        if magic != POSIX_MAGIC or buffer[at + 508 : data] == b"tar\0":
            return None
        path = buffer[at + 345 : at + 500].partition(b"\0")[0] + b"/" + path
    checksum = _checksum(buffer, at, stored)
    if checksum is None or not path or path[-1] == _SLASH:
        return None
    return TypicalFile(at, data, int(size[:-1], 8), path, checksum)


def _is_harmless(buffer: bytes, at: int) -> bool:
    """Tell whether an extended header of one block is as it should be and says nothing about names or sizes."""
    payload, size = at + BLOCK, buffer[at + 124 : at + 136]
    only_time = _ONLY_TIME.match(buffer, payload, at + _EXTENDED)
    if only_time is not None and _LENGTHS[only_time[1]] == size:
        fits = only_time.end() - payload == int(only_time[1])
    else:
        fits = _says_nothing_new(buffer, payload, size)
    return fits and _checksum(buffer, at, buffer[at + 148 : at + 156]) is not None


def _says_nothing_new(buffer: bytes, at: int, size: bytes) -> bool:
    if size.translate(_DIGITS) != _NUMBERS[-12:] or not 0 < (length := int(size[:-1], 8)) <= BLOCK:
        return False
    payload = buffer[at : at + length]
    if b"path=" in payload or b"size=" in payload or b"GNU.sparse" in payload:
        return False
    try:
        check_records(parse_records(payload))
    except MalformedTarError:
        return False
    return True


def _checksum(buffer: bytes, at: int, stored: bytes) -> int | None:
    """Give a header's checksum where it is right and written as most do: six digits, a NUL, a space.

    The low half of Adler-32, started at 0, is the sum of all bytes modulo 65521 (RFC 1950), which half a block does not
    reach.
    """
    middle = at + _HALF
    total = (adler32(buffer[at:middle], 0) & 0xFFFF) + (adler32(buffer[middle : at + BLOCK], 0) & 0xFFFF)
    unsigned = total + 256 - (adler32(stored, 0) & 0xFFFF)
    return unsigned if stored == b"%06o\0 " % unsigned else None
