"""PAX records, read so that no other reader can take them differently (POSIX.1-2017 pax; GNU tar, Go, busybox).

GNU tar skips blanks before a key, cuts keys and names at a NUL, and takes a sparse file for a plain one where its map
is not as it wants it. Each of that would let a member's contents pass for headers. So whatever is odd is refused.
"""

import re

from app.archive.headers import (
    GNU_SPARSE,
    POSIX_MAGIC,
    MalformedTarError,
    Records,
    decimal,
    is_file_kind,
)

_ATTRIBUTE = b"SCHILY.xattr."
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_NAMES = (b"path", b"linkpath", b"GNU.sparse.name")
_SPARSE = b"GNU.sparse."
_MAP = re.compile(rb"[0-9]{1,20},[0-9]{1,20}(?:,[0-9]{1,20},[0-9]{1,20})*")
_MAP_IN_DATA = {b"major", b"minor", b"name", b"realsize"}
_MAP_IN_RECORDS = {b"major", b"minor", b"name", b"size", b"numblocks", b"map"}
_USTAR = POSIX_MAGIC[:6]


def parse_records(payload: bytes) -> Records:
    """Read PAX records: length, key=value, line feed; one after another. MalformedTarError for a key that is odd."""
    records: Records = {}
    position = 0
    while position < len(payload):
        space = payload.find(b" ", position, position + 12)
        digits = payload[position:space] if space > 0 else b""
        if not digits.isdigit() or digits[:1] == b"0":
            raise MalformedTarError("a PAX record has no length")
        end = position + int(digits)
        key, equals, value = payload[space + 1 : end - 1].partition(b"=")
        if end <= space + 1 or end > len(payload) or payload[end - 1] != 0x0A or not equals or not key:
            raise MalformedTarError("a PAX record is cut or has no key")
        if key in records:
            raise MalformedTarError(f"the PAX record {key[:40]!r} is there twice")
        _check_key(key)
        records[key] = value
        position = end
    for name in _NAMES:
        if name in records and (not records[name] or b"\0" in records[name]):
            raise MalformedTarError(f"the PAX record {name.decode()} is empty or holds a NUL")
    return records


def _check_key(key: bytes) -> None:
    # the name of an extended attribute may hold anything but a NUL, and nobody cuts it elsewhere
    odd = b"\0" in key if key.startswith(_ATTRIBUTE) else _CONTROL.search(key) is not None or key[:1] == b" "
    if odd or (key.startswith(b"GNU.") and not key.startswith(_SPARSE)):
        raise MalformedTarError(f"a PAX record has the key {key[:40]!r}")


def check_agreement(block: bytes, records: Records) -> None:
    """Raise MalformedTarError where readers could differ over where a member's contents end, or over its name."""
    ustar = block[257:263] == _USTAR
    if ustar and block[345] and (block[263:265] != b"00" or block[508:512] == b"tar\0"):
        raise MalformedTarError("a header has a prefix that not everybody reads")
    if block[156] == GNU_SPARSE and ustar:
        raise MalformedTarError("an old sparse member has the header of another format")
    if not records:
        return
    if b"size" in records and (not is_file_kind(block[156]) or not block[124:136].strip(b" \0")):
        raise MalformedTarError("a PAX record tells the size of a member that can have none")
    fields = {key[len(_SPARSE) :] for key in records if key.startswith(_SPARSE)}
    if fields:
        _check_sparse(block[156], records, fields)


def _check_sparse(kind: int, records: Records, fields: set[bytes]) -> None:
    """Let pass only a map at the head of the data (PAX 1.0) and one in the records (0.1), each with all it needs."""
    if kind == GNU_SPARSE or not is_file_kind(kind):
        raise MalformedTarError("sparse records stand before something that is no plain file")
    in_data = records.get(_SPARSE + b"major") == b"1"
    if in_data:
        whole = b"realsize" in fields and fields <= _MAP_IN_DATA and records.get(_SPARSE + b"minor", b"0") == b"0"
    else:
        whole = (
            {b"size", b"numblocks", b"map"} <= fields <= _MAP_IN_RECORDS
            and records.get(_SPARSE + b"major", b"0") == b"0"
            and b"size" not in records
            and _is_map_whole(records)
        )
    if not whole:
        raise MalformedTarError("the sparse records of a member are not whole, or of two kinds")


def _is_map_whole(records: Records) -> bool:
    blocks, pairs = records[_SPARSE + b"numblocks"], records[_SPARSE + b"map"]
    keys = list(records)
    in_order = keys.index(_SPARSE + b"numblocks") < keys.index(_SPARSE + b"map")
    return in_order and _MAP.fullmatch(pairs) is not None and 2 * decimal(blocks) == pairs.count(b",") + 1
