"""The relay's short way for what nearly every member of a volume is: a small file that only needs a new name.

It does what `HeaderGroup.describe` and `renamed_in_place` do, in a third of the time; whatever is in the least unusual
(or wrong) is left to them. A mailbox has hundreds of thousands of such files, so this decides how fast it is saved.
"""

from hashlib import sha256
from typing import NamedTuple

from app.archive.headers import BLOCK, NAME_FIELD, byte_sum
from app.archive.typical_file import typical_file

_NO_OWNERS = bytes(64)
_SLASH = b"/"[0]


class Typical(NamedTuple):
    """Tell what was relayed: `after` is the offset behind it, `name` the old name and `path` the new one."""

    after: int
    name: bytes
    path: bytes
    size: int
    digest: str


def relay_typical(buffer: bytes, view: memoryview, at: int, prefix: bytes) -> Typical | None:
    """Rename the file whose headers begin at `at` in the view, and hash it; None where it is not typical.

    `buffer` is what the view held before anything in it was renamed. Besides what `typical_file` asks for, all of the
    file is there, and its name is short and begins with `./`.
    """
    file = typical_file(buffer, at)
    if file is None:
        return None
    own, data, size, name, checksum, _ = file
    path = prefix + name[2:]
    after = data + size + (-size % BLOCK)
    if after > len(buffer) or len(path) > NAME_FIELD or buffer[own + 345] or not _is_plain(name):
        return None
    field = buffer[own : own + NAME_FIELD]
    if field.rstrip(b"\0") != name:
        return None
    owners = buffer[own + 265 : own + 329]
    if owners != _NO_OWNERS:
        checksum -= byte_sum(owners)
        view[own + 265 : own + 329] = _NO_OWNERS
    view[own : own + NAME_FIELD] = path.ljust(NAME_FIELD, b"\0")
    view[own + 148 : own + 156] = b"%06o\0 " % (checksum + byte_sum(path) - byte_sum(name))
    return Typical(after, name, path, size, sha256(view[data : data + size]).hexdigest())


def _is_plain(name: bytes) -> bool:
    return name[:2] == b"./" and len(name) > 2 and name[2] != _SLASH and b".." not in name
