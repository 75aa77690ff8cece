"""POSIX ACLs in the text that tars know (SCHILY.acl.*, as star and GNU tar write it) and in the kernel's own form."""

import re
import struct

from app.archive.headers import Records

# linux/posix_acl_xattr.h: a version, then tag, rights and id of each entry, in the order of the tags
_VERSION, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER, _GROUP, _MASK = 2, 8, 16
_TAGS = {1: "user::", _USER: "user:{}:", 4: "group::", _GROUP: "group:{}:", _MASK: "mask::", 32: "other::"}
_WORDS = {b"user": 1, b"u": 1, b"group": 4, b"g": 4, b"mask": 16, b"m": 16, b"other": 32, b"o": 32}
_NAMED = {1: _USER, 4: _GROUP}
_RIGHTS = ((b"r", 4), (b"w", 2), (b"x", 1))
_NOBODY = 2**32 - 1
_KEYS = {
    "system.posix_acl_access": b"SCHILY.acl.access",
    "system.posix_acl_default": b"SCHILY.acl.default",
}
_ATTRIBUTE = "SCHILY.xattr."

Entry = tuple[int, int, int]


def acl_records(attributes: dict[str, bytes]) -> Records:
    """Give the records for those of a file's extended attributes that are ACLs in the one version that exists."""
    return {
        _KEYS[name]: _text(value)
        for name, value in attributes.items()
        if name in _KEYS and value[:4] == _VERSION.pack(2) and len(value) % _ENTRY.size == _VERSION.size
    }


def numeric_records(records: Records) -> Records:
    """Give the ACLs that stand as attributes among a member's records as text, which has numbers for owners."""
    keys = {name: f"{_ATTRIBUTE}{name}".encode() for name in _KEYS}
    return acl_records({name: records[key] for name, key in keys.items() if key in records})


def attribute_records(records: Records) -> tuple[Records, list[str]]:
    """Give the ACLs that stand as text only as attributes, and the names of those of which that cannot be done.

    An owner that is told by name cannot be had as a number here, and the kernel takes no ACL that is not whole.
    """
    found: Records = {}
    failed: list[str] = []
    for name, key in _KEYS.items():
        attribute = f"{_ATTRIBUTE}{name}".encode()
        if not records.get(key) or attribute in records:
            continue
        entries = _entries(records[key])
        if entries is None:
            failed.append(key.decode())
        else:
            found[attribute] = _VERSION.pack(2) + b"".join(_ENTRY.pack(*entry) for entry in entries)
    return found, failed


def _text(acl: bytes) -> bytes:
    lines = []
    for tag, rights, owner in _ENTRY.iter_unpack(acl[_VERSION.size :]):
        letters = "".join(letter.decode() if rights & bit else "-" for letter, bit in _RIGHTS)
        lines.append(f"{_TAGS[tag].format(owner)}{letters}\n")
    return "".join(lines).encode()


def _entries(text: bytes) -> list[Entry] | None:
    """Read an ACL's text (acl(5)); None where the kernel would not take it."""
    lines = [line.partition(b"#")[0].strip() for line in re.split(rb"[\n,]", text)]
    entries = [_entry(line) for line in lines if line]
    whole = sorted(entry for entry in entries if entry is not None)
    tags = [tag for tag, _, _ in whole]
    needed = {1, 4, 32} | ({_MASK} if {_USER, _GROUP} & set(tags) else set())
    single = [tag for tag in tags if tag not in {_USER, _GROUP}]
    good = len(whole) == len(entries) and needed <= set(tags) and len(single) == len(set(single))
    return whole if good else None


def _entry(line: bytes) -> Entry | None:
    """Read `user:1000:rw-`, `other::r--` or `mask:r--`; star puts the number of a named owner behind the rights."""
    word, *fields = (field.strip() for field in line.split(b":"))
    tag = _WORDS.get(word)
    if tag is None or not 1 <= len(fields) <= 3:
        return None
    owner = fields[2] if len(fields) == 3 else fields[0] if len(fields) == 2 else b""
    letters = fields[0] if len(fields) == 1 else fields[1]
    if letters.strip(b"rwx-") or (owner and (tag not in _NAMED or not owner.isdigit() or int(owner) >= _NOBODY)):
        return None
    rights = sum(bit for letter, bit in _RIGHTS if letter in letters)
    return (_NAMED[tag], rights, int(owner)) if owner else (tag, rights, _NOBODY)
