"""The relay's short way for what nearly every member of a volume is: a small file that only needs a new name.

It does what `HeaderGroup.describe` and `renamed_in_place` do, in a third of the time; whatever is in the least unusual
(or wrong) is left to them. A mailbox has hundreds of thousands of such files, so this decides how fast it is saved.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.archive.headers import BLOCK, NAME_FIELD, byte_sum
from app.archive.sums import line
from app.archive.typical_file import digest, typical_file

_HERE = b"./"
_SLASH = b"/"[0]
_OWNERS = 64
_NO_OWNERS = bytes(_OWNERS)


@dataclass(slots=True)
class Relayed:
    """Tell how far the short way went: `after` is the offset behind it, `name` the last old name, `path` the new one.

    `lines` are the checksum lines of its files. Where the last file is refused and so to be left out, `refused` is the
    offset at which that begins; it is not counted.
    """

    after: int
    name: bytes = b""
    path: bytes = b""
    lines: list[bytes] = field(default_factory=list)
    refused: int | None = None
    files: int = 0
    bytes: int = 0


def relay_typical(
    buffer: bytes, view: memoryview, at: int, prefix: bytes, is_refused: Callable[[bytes], bool]
) -> Relayed:
    """Rename the files whose headers begin at `at` in the view, and hash them, up to the first that is not typical.

    `buffer` is what the view held before anything in it was renamed. Besides what `typical_file` asks for, all of a
    file is there, and its name is short and begins with `./`.
    """
    done, end = Relayed(at), len(buffer)
    longer = sum(prefix) - sum(_HERE)
    while (file := typical_file(buffer, at)) is not None:
        own, data, name = file.own, file.data, file.path
        path = prefix + name[2:]
        data_end = data + file.size
        after = data_end + (-file.size % BLOCK)
        if after > end or len(path) > NAME_FIELD or not _is_plain(name):
            break
        if buffer[own : own + NAME_FIELD].rstrip(b"\0") != name:  # it is in two fields, or there is more behind it
            break
        done.after, done.name, done.path = after, name, path
        if is_refused(path):
            done.refused = at
            break
        checksum, owners = file.checksum + longer, buffer[own + 265 : own + 265 + _OWNERS]
        if owners != _NO_OWNERS:
            checksum -= byte_sum(owners)
            view[own + 265 : own + 265 + _OWNERS] = _NO_OWNERS
        view[own : own + NAME_FIELD] = path.ljust(NAME_FIELD, b"\0")
        view[own + 148 : own + 156] = b"%06o\0 " % checksum
        done.lines.append(line(digest(view[data:data_end]), path))
        done.files += 1
        done.bytes += file.size
        at = after
    return done


def _is_plain(name: bytes) -> bool:
    return name[:2] == _HERE and len(name) > 2 and name[2] != _SLASH and name[-2:] != b"/." and b".." not in name
