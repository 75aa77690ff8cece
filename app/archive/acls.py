"""POSIX ACLs in the text that tars know (SCHILY.acl.*, as star and GNU tar write it), with numbers for owners."""

import struct

from app.archive.headers import Records

# linux/posix_acl_xattr.h: a version, then tag, rights and id of each entry
_VERSION, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_TAGS = {1: "user::", 2: "user:{}:", 4: "group::", 8: "group:{}:", 16: "mask::", 32: "other::"}
_KEYS = {
    "system.posix_acl_access": b"SCHILY.acl.access",
    "system.posix_acl_default": b"SCHILY.acl.default",
}


def acl_records(attributes: dict[str, bytes]) -> Records:
    """Give the records for those of a file's extended attributes that are ACLs in the one version that exists."""
    return {
        _KEYS[name]: _text(value)
        for name, value in attributes.items()
        if name in _KEYS and value[:4] == _VERSION.pack(2) and len(value) % _ENTRY.size == _VERSION.size
    }


def _text(acl: bytes) -> bytes:
    lines = []
    for tag, rights, owner in _ENTRY.iter_unpack(acl[_VERSION.size :]):
        letters = "".join(letter if rights & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        lines.append(f"{_TAGS[tag].format(owner)}{letters}\n")
    return "".join(lines).encode()
