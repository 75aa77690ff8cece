"""Compares the checksum lines that an archive's contents deserve with those that are in it."""

import re
from collections.abc import Iterator
from itertools import chain, islice

from app.archive.shown import printable
from app.archive.sums import SumsSpool
from app.errors import ArchiveError, Code

_MAX_DAMAGED = 100_000
_MAX_LINE = 1 << 20
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


def compare(sums: SumsSpool, listed: Iterator[memoryview]) -> list[str]:
    """Compare the lines that the contents deserve with those in the archive; give the members that have no line.

    Raises ArchiveError ARCHIVE_DAMAGED where a line is left over: then a member is missing or its contents changed.
    """
    unlisted: list[str] = []
    deserved, expectations = _from_first_difference(sums.pieces(), map(bytes, listed))
    for expected in expectations:
        for ours in deserved:
            if ours == expected:
                break
            unlisted.append(_path_of(ours))
            if len(unlisted) > _MAX_DAMAGED:
                raise mismatch(unlisted[0])
        else:
            raise mismatch(_path_of(expected))
    unlisted.extend(_path_of(ours) for ours in islice(deserved, _MAX_DAMAGED + 1))
    if len(unlisted) > _MAX_DAMAGED:
        raise mismatch(unlisted[0])
    return unlisted


def mismatch(path: str) -> ArchiveError:
    """Make the error for one member."""
    shown = printable(path[:1000])
    return ArchiveError(Code.ARCHIVE_DAMAGED, f"{shown} does not have the contents that its SHA-256 line says.")


def _from_first_difference(ours: Iterator[bytes], theirs: Iterator[bytes]) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """Give the lines of both, from the first that is not the same: most often there is none."""
    our, their, begun = b"", b"", b""
    while (our := our or next(ours, b"")) and (their := their or next(theirs, b"")):
        size = min(len(our), len(their))
        if our[:size] != their[:size]:
            break
        begun = (begun + our[:size]).rpartition(b"\n")[2]
        our, their = our[size:], their[size:]
    return _lines(chain([begun + our], ours)), _lines(chain([begun + their], theirs))


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > _MAX_LINE:
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "A line of SHA256SUMS has no end.")
        yield from whole
    if rest:
        yield rest


def _path_of(entry: bytes) -> str:
    path = entry.partition(b"  ")[2]
    if entry.startswith(b"\\"):
        path = re.sub(rb"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), path)
    return path.decode("utf-8", "backslashreplace")
