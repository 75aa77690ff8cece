"""Reads a tar stream member by member with the headers as they stand there, for whoever writes them again."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.archive import headers
from app.archive.headers import BLOCK, MalformedTarError, Member, Records
from app.archive.renaming import EXTENDED, Description, HeaderGroup, extended_size, has_extension, next_extension
from app.archive.shown import readable
from app.errors import ArchiveError, Code

_MAX_EXTENDED = 1 << 20
_ZERO_BLOCK = bytes(BLOCK)


class RawMember(NamedTuple):
    """Hold one member's headers as they stand in the stream, and what they mean."""

    group: HeaderGroup
    told: Description

    def records(self) -> Records:
        """Give all that its extended headers say."""
        return self.group.records()

    def decoded(self) -> Member:
        """Give the member with every fact that its headers tell."""
        return headers.decode(self.group.block, self.records())


class RawReader:
    """Walk a tar stream: `next` gives a member, `data` the contents of the one given last.

    Both leave the reader where another call can go on, also where the one before was given up. `buffer` and `at` show
    what is at hand, for a short way through it: whoever takes whole members out of it calls `went_past`.
    """

    def __init__(self, pieces: Iterator[bytes], keep_going: Callable[[], None]) -> None:
        self.buffer = b""
        self.at = 0
        self._before = 0
        self._pieces = pieces
        self._keep_going = keep_going
        self._left = 0
        self._pad = 0
        self._last = b""
        self._ended = False

    def next(self) -> RawMember | None:
        """Give the next member; None at the end.

        Raises ArchiveError: ARCHIVE_DAMAGED where the stream is no valid tar, ARCHIVE_TRUNCATED where it ends too soon.
        """
        for _ in self.data():
            pass
        try:
            return None if self._ended else self._next()
        except MalformedTarError as error:
            raise self.malformed(error) from error

    def data(self) -> Iterator[memoryview]:
        """Give what is left of the current member's contents, in pieces."""
        while self._left:
            piece = self._take(self._left)
            self._left -= len(piece)
            yield piece
        if self._pad:
            pad, self._pad = self._pad, 0
            self._exactly(pad)

    @property
    def position(self) -> int:
        """Give how many bytes of the stream were taken."""
        return self._before + self.at

    def up_to(self, end: int) -> Iterator[memoryview]:
        """Give all that stands before this offset, as it is; ask again where this was given up half way."""
        while (left := end - self.position) > 0:
            yield self._take(left)

    def went_past(self, path: bytes, at: int) -> None:
        """Hear that members up to `at` were taken out of the buffer, the last of them under this name."""
        self.at, self._last = at, path

    def malformed(self, error: MalformedTarError) -> ArchiveError:
        """Say where in the archive something is wrong."""
        where = readable(self._last) or "its beginning"
        return ArchiveError(Code.ARCHIVE_DAMAGED, f"The tar stream is malformed after {where}: {error}.")

    def _next(self) -> RawMember | None:
        group = HeaderGroup()
        block = self._exactly(BLOCK)
        while block[156] in EXTENDED:
            size = extended_size(block, _MAX_EXTENDED)
            group.add_extended(block, self._exactly(size + headers.padding(size))[:size])
            block = self._exactly(BLOCK)
        if block == _ZERO_BLOCK:
            if self._exactly(BLOCK) != _ZERO_BLOCK:
                raise MalformedTarError("a single block of zeros stands where two belong")
            self._ended = True
            return None
        group.block, group.extensions = block, tuple(self._extensions(block))
        told = group.describe()
        self._last = told.path
        self._left, self._pad = told.size, headers.padding(told.size)
        return RawMember(group, told)

    def _extensions(self, block: bytes) -> Iterator[bytes]:
        more = has_extension(block)
        while more:
            extension, more = next_extension(memoryview(self._exactly(BLOCK)))
            yield extension

    def _take(self, limit: int) -> memoryview:
        """Take at least one and at most `limit` bytes."""
        while self.at == len(self.buffer):
            self._keep_going()
            piece = next(self._pieces, None)
            if piece is None:
                where = readable(self._last) or "its beginning"
                raise ArchiveError(Code.ARCHIVE_TRUNCATED, f"The tar stream ends too early after {where}.")
            self._before += len(self.buffer)
            self.buffer, self.at = piece, 0
        taken = memoryview(self.buffer)[self.at : self.at + limit]
        self.at += len(taken)
        return taken

    def _exactly(self, size: int) -> bytes:
        piece = bytes(self._take(size))
        while len(piece) < size:
            piece += self._take(size - len(piece))
        return piece
