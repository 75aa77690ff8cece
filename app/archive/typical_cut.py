"""The short way back: takes a volume's prefix off the headers of typical files (see app.archive.typical_file).

Whatever is in the least unusual, or wrong, is left to the long way, which decodes it and says what is wrong with it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import adler32

from app.archive.dialects import Dialect
from app.archive.headers import BLOCK, NAME_FIELD
from app.archive.typical_file import typical_file

_ONLY_TIME = re.compile(rb"[1-9][0-9]? mtime=([0-9]{1,11})(?:\.[0-9]+)?\n\0*")


@dataclass(slots=True)
class CutFiles:
    """Hold files with their new headers, as a `stretch` of a tar stream; `last` is the whole name of the last one.

    `after` is the offset behind them in the buffer that they were cut out of.
    """

    after: int
    stretch: memoryview = field(default_factory=lambda: memoryview(b""))
    last: bytes = b""
    files: int = 0
    bytes: int = 0


def cut_typical(
    buffer: bytes, at: int, volume: bytes, dialect: Dialect, is_wanted: Callable[[bytes], bool] | None = None
) -> CutFiles:
    """Cut the prefix off the files that begin at `at`, up to the first that has to go the long way.

    That is one that is not typical, has not all of its contents in the buffer, is in no folder of the volume, has a
    name in two fields, or is not wanted; so is one with an extended header that the dialect does not let pass (or that
    says something which the file's own header doesn't).
    """
    view, end, size, last = memoryview(buffer), len(buffer), 0, b""
    kept: list[memoryview] = []
    heads: list[tuple[int, bytes, int]] = []
    # what lies between an offset in the buffer and the same one in the stretch
    start = off = at
    while (file := typical_file(buffer, at)) is not None:
        own, data, length, path, checksum, _ = file
        after = data + length + (-length % BLOCK)
        if after > end or not path.startswith(volume) or b".." in path or buffer[own + 345]:
            break
        if (own != at and not _passes(buffer, at, own, dialect)) or not (is_wanted is None or is_wanted(path)):
            break
        if own != at and dialect is Dialect.GNU:
            kept.append(view[start:at])
            start, off = own, off + own - at
        name = b"./" + path[len(volume) :]
        old = buffer[own : own + NAME_FIELD]
        checksum += (adler32(name, 0) & 0xFFFF) - (adler32(old, 0) & 0xFFFF)
        heads.append((own - off, name, checksum))
        size += length
        last, at = path, after
    kept.append(view[start:at])
    return CutFiles(at, _renamed(kept, heads), last, len(heads), size)


def _renamed(kept: list[memoryview], heads: list[tuple[int, bytes, int]]) -> memoryview:
    """Copy what is kept, and write into each header, at its offset, a name and the checksum that goes with it.

    No more than that is copied: a buffer may hold thousands of such stretches.
    """
    stretch = bytearray().join(kept)
    for at, name, checksum in heads:
        stretch[at : at + NAME_FIELD] = name.ljust(NAME_FIELD, b"\0")
        stretch[at + 148 : at + 156] = b"%06o\0 " % checksum
    return memoryview(stretch)


def _passes(buffer: bytes, at: int, own: int, dialect: Dialect) -> bool:
    """Tell whether an extended header may stay as it is or, for a dialect that knows none, may go."""
    if dialect is Dialect.GNU:
        only_time = _ONLY_TIME.fullmatch(buffer, at + BLOCK, own)
        return only_time is not None and int(only_time[1]) == int(buffer[own + 136 : own + 147], 8)
    return buffer.find(b"SCHILY.acl", at + BLOCK, own) < 0
