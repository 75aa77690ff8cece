"""What nearly every member of a volume is, read in a third of the time: an ordinary file behind plain headers.

A mailbox has hundreds of thousands of such files, so this decides how fast it is restored. Whatever is in the least
unusual, or wrong, is left to the long way, which decodes it and says what is wrong with it.
"""

import re
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import NamedTuple
from zlib import adler32

from app.archive.headers import BLOCK, PAX_NEXT, POSIX_MAGIC, REGULAR, MalformedTarError, byte_sum, check_records
from app.archive.pax import parse_records

# name, size, checksum, type, magic, first byte of the prefix; see app.archive.headers
_HEADER = Struct("100s24x12s12x8sB100x8s80xB")
_DIGITS = bytes.maketrans(b"1234567 ", b"0000000\0")
_NUMBERS = b"0000000\0" * 3 + b"00000000000\0" * 2
_EXTENDED = 2 * BLOCK
_HALF = BLOCK // 2
_ONLY_TIME = re.compile(rb"([1-9][0-9]?) mtime=-?[0-9]{1,19}(?:\.[0-9]+)?\n")
_SEAL = re.compile(rb"[0-7]{6}\0 ")
_SLASH, _SPACE = b"/ "
# hashlib lets go of the interpreter for more than this; for small files it then waits longer for it than it hashes
_HELD = 2047
_SMALL = 16 << 10
# the size field of an extended header that holds one record of so many bytes, by the record's own length
_LENGTHS = {b"%d" % length: b"%011o\0" % length for length in range(100)}


class TypicalFile(NamedTuple):
    """Say where a file's own header and its contents begin, and what the header says; `path` is its whole name.

    `is_timed` says that an extended header, if there is one, holds the time of the last change and nothing else.
    """

    own: int
    data: int
    size: int
    path: bytes
    checksum: int
    is_timed: bool


def typical_file(buffer: bytes, at: int) -> TypicalFile | None:
    """Read the headers that begin at `at`; None where they are not typical or not all there.

    Typical is: at most one extended header of one block, which holds neither names nor sizes, before a regular file's
    header with plain numbers and a name that is no folder's; the checksums are right, and written as most do.
    """
    end, is_timed = len(buffer), True
    if end - at >= _EXTENDED and buffer[at + 156] == PAX_NEXT:
        payload, length = at + BLOCK, buffer[at + 124 : at + 136]
        is_timed = _says_a_time(buffer, payload, length)
        is_harmless = is_timed or _says_nothing_new(buffer, payload, length)
        if not is_harmless or _sum(buffer[at:payload]) != _sealed(buffer[at + 148 : at + 156])[0]:
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
    total, checksum = _sealed(stored)
    if _sum(buffer[at:data]) != total or not path or path[-1] == _SLASH:
        return None
    return TypicalFile(at, data, int(size[:-1], 8), path, checksum, is_timed)


def digest(contents: memoryview) -> str:
    """Give the SHA-256 of a file's contents, in hexadecimal."""
    size = len(contents)
    if size <= _HELD or size > _SMALL:
        return sha256(contents).hexdigest()
    hasher = sha256(contents[:_HELD])
    for at in range(_HELD, size, _HELD):
        hasher.update(contents[at : at + _HELD])
    return hasher.hexdigest()


def _says_a_time(buffer: bytes, at: int, size: bytes) -> bool:
    """Tell whether the records that begin at `at`, `size` bytes by their header, are one time of the last change."""
    only_time = _ONLY_TIME.match(buffer, at, at + BLOCK)
    return only_time is not None and _LENGTHS[only_time[1]] == size and only_time.end() - at == int(only_time[1])


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


def _sum(block: bytes) -> int:
    """Add up the bytes of a block, by Adler-32: modulo 65521 (RFC 1950), more than 512 ASCII or 256 any bytes."""
    if block.isascii():
        return adler32(block, 0) & 0xFFFF
    return byte_sum(block[:_HALF]) + byte_sum(block[_HALF:])


@lru_cache(maxsize=1 << 13)
def _sealed(stored: bytes) -> tuple[int, int]:
    """Give what the bytes of a header add up to that has this checksum, and the checksum.

    -1 and 0 where it is not written as most do: six digits, a NUL, a space. The checksum counts itself as spaces.
    """
    if not _SEAL.fullmatch(stored):
        return -1, 0
    checksum = int(stored[:6], 8)
    return checksum - 8 * _SPACE + byte_sum(stored), checksum
