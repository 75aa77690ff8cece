"""The relay's short way for what nearly every member of a volume is: a small file that only needs a new name.

It does what `HeaderGroup.describe` and `renamed_in_place` do, in a third of the time; whatever is in the least unusual
(or wrong) is left to them. A mailbox has hundreds of thousands of such files, so this decides how fast it is saved.
"""

import re
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from isal.isal_zlib import adler32

from app.archive.headers import (
    BLOCK,
    NAME_FIELD,
    PAX_NEXT,
    PLAIN_NUMBERS,
    REGULAR,
    MalformedTarError,
    check_records,
)
from app.archive.pax import parse_records

# name, size, checksum, type, names of owners, first byte of the prefix field; see app.archive.headers
_HEADER = Struct("100s24x12s12x8sB108x64s16xB")
_NO_OWNERS = bytes(64)
_EXTENDED = 2 * BLOCK
_SLASH, _SPACE = b"/ "
_ONLY_TIME = re.compile(rb"([1-9][0-9]?) mtime=-?[0-9]{1,19}(?:\.[0-9]+)?\n")


class Typical(NamedTuple):
    """Tell what was relayed: `after` is the offset behind it, `name` the old name and `path` the new one."""

    after: int
    name: bytes
    path: bytes
    size: int
    digest: str


def relay_typical(view: memoryview, at: int, end: int, prefix: bytes) -> Typical | None:
    """Rename the file whose headers begin at `at` in place and hash it; None where it is not typical or not all there.

    Typical is: at most one extended header of one block, which holds neither names nor sizes, before a regular file's
    header that has a short name beginning with `./` and correct checksums.
    """
    if end - at > _EXTENDED + BLOCK and view[at + 156] == PAX_NEXT:
        if not is_harmless(bytes(view[at : at + _EXTENDED])):
            return None
        at += _EXTENDED
    data = at + BLOCK
    if data > end:
        return None
    field, size_field, stored, kind, owners, prefix_field = _HEADER.unpack_from(view, at)
    name, _, rest = field.partition(b"\0")
    path = prefix + name[2:]
    plain = _is_plain(name, path, rest) and PLAIN_NUMBERS.fullmatch(view, at + 100, at + 148)
    if not plain or kind != REGULAR or prefix_field:
        return None
    size, checksum = int(size_field[:-1], 8), checksum_of(view[at:data], stored)
    if checksum is None:
        return None
    after = data + size + (-size % BLOCK)
    if after > end:
        return None
    if owners != _NO_OWNERS:
        checksum -= _sum(owners)
        view[at + 265 : at + 329] = _NO_OWNERS
    view[at : at + NAME_FIELD] = path.ljust(NAME_FIELD, b"\0")
    view[at + 148 : at + 156] = b"%06o\0 " % (checksum + _sum(path) - _sum(name))
    return Typical(after, name, path, size, sha256(view[data : data + size]).hexdigest())


def _is_plain(name: bytes, path: bytes, rest: bytes) -> bool:
    return (
        name[:2] == b"./"
        and len(name) > 2
        and name[2] != _SLASH
        and name[-1] != _SLASH
        and b".." not in name
        and len(path) <= NAME_FIELD
        and not rest.strip(b"\0")
    )


def is_harmless(extended: bytes) -> bool:
    """Tell whether an extended header of one block is as it should be and says nothing about names or sizes."""
    size = _octal(extended[124:136])
    if not size or size > BLOCK or checksum_of(extended[:BLOCK], extended[148:156]) is None:
        return False
    payload = extended[BLOCK : BLOCK + size]
    if (only_time := _ONLY_TIME.fullmatch(payload)) is not None:
        return int(only_time[1]) == size
    if b"path=" in payload or b"size=" in payload or b"GNU.sparse" in payload:
        return False
    try:
        check_records(parse_records(payload))
    except MalformedTarError:
        return False
    return True


def _octal(field: bytes) -> int | None:
    digits = field[:-1]
    try:
        return int(digits, 8) if digits.isdigit() and field[-1] in b"\0 " else None
    except ValueError:
        return None


def checksum_of(block: bytes | memoryview, stored: bytes) -> int | None:
    """Give a header's checksum where it is right and written as most do: six digits, a NUL, a space.

    Adler-32 gives the sum of the block modulo 65521 only; what is stored tells the rest.
    """
    value = _octal(stored[:7])
    if value is None or stored[7] != _SPACE:
        return None
    return value if not (_sum(block) - _sum(stored) + 256 - value) % 65521 else None


def _sum(data: bytes | memoryview) -> int:
    # the low half of Adler-32, started at 0, is the sum of all bytes modulo 65521 (RFC 1950)
    return adler32(data, 0) & 0xFFFF
