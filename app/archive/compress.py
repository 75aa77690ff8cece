"""Gzip (RFC 1952) both ways, by ISA-L.

Its decompressor lets its buffer grow from 16 KiB, and takes the interpreter back for each step: beside a thread that
computes it waits most of the time. The reader under its file class fills a buffer of any size in one go.
"""

import gzip
import io
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, cast

from isal import igzip_lib, isal_zlib
from typing_extensions import Buffer, override

from app.errors import ArchiveError, Code

_GZIP_WINDOW = 31
_MAGIC = b"\x1f\x8b"
_PIECE = 2 << 20


class GzipSink:
    """Compress what is written into one gzip stream; its header carries no time, so equal input gives equal output."""

    def __init__(self, out: Callable[[bytes], None], level: int) -> None:
        self._out = out
        self._compressor = isal_zlib.compressobj(level, isal_zlib.DEFLATED, _GZIP_WINDOW)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take plain bytes."""
        if compressed := self._compressor.compress(data):
            self._out(compressed)

    def finish(self) -> None:
        """Write what is left and the checksum."""
        self._out(self._compressor.flush())


def gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress one gzip stream in pieces of at most 2 MiB, so that a bomb costs no memory.

    Raises ArchiveError: ARCHIVE_FOREIGN where it is no gzip at all, ARCHIVE_DAMAGED where its checksum is wrong or
    its last four bytes are not the size of all that came out, as where something follows it; ARCHIVE_TRUNCATED where it
    ends too early, or where what follows it could begin another one. Each says how far it came.
    """
    source = _Source(pieces)
    reader = isal_zlib._GzipReader(cast("BinaryIO", source), _PIECE)  # noqa: SLF001 - see the module
    size = 0
    try:
        while plain := reader.read(_PIECE):
            size += len(plain)
            yield plain
    except EOFError as error:
        message = "The gzip stream ends too early, or a few bytes follow its end: it ends at"
        raise ArchiveError(Code.ARCHIVE_TRUNCATED, f"{message} {source.place(size)}.") from error
    except (gzip.BadGzipFile, igzip_lib.IsalError, OverflowError) as error:  # type: ignore[misc] # the stub declares an instance
        message = f"The gzip stream is damaged: {error}. It was read up to"
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"{message} {source.place(size)}.") from error
    source.end(size)


class _Source(io.RawIOBase):
    """Let pieces be read as a file, and see that they are one gzip stream and no more."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._left = memoryview(b"")
        self._first = b""
        self._last = b""
        self._read = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        while not self._left:
            if (piece := next(self._pieces, None)) is None:
                return 0
            self._look(piece)
            self._left = memoryview(piece)
        out = memoryview(buffer).cast("B")
        size = min(len(out), len(self._left))
        out[:size] = self._left[:size]
        self._left = self._left[size:]
        self._read += size
        return size

    def place(self, size: int) -> str:
        """Say how far it was read when so many bytes had come out of it."""
        return f"byte {self._read}, and {size} bytes of its tar stream had come out by then"

    def end(self, size: int) -> None:
        """Refuse a file that is empty, or whose last four bytes are not the size of all that came out of it.

        gzip goes on with a further stream behind the first one, and over zeros there; each stream ends with its own
        size modulo 2^32 (RFC 1952, 2.3.1).
        """
        if not self._first:
            raise ArchiveError(Code.ARCHIVE_TRUNCATED, "The gzip stream ends before its first byte.")
        if self._last != (size & 0xFFFF_FFFF).to_bytes(4, "little"):
            message = "Something follows the end of the gzip stream. It was read up to"
            raise ArchiveError(Code.ARCHIVE_DAMAGED, f"{message} {self.place(size)}.")

    def _look(self, piece: bytes) -> None:
        if len(self._first) < len(_MAGIC):
            self._first += piece[: len(_MAGIC) - len(self._first)]
            if not _MAGIC.startswith(self._first):
                raise ArchiveError(
                    Code.ARCHIVE_FOREIGN, "The file is not a gzip stream: its first two bytes are not those of one."
                )
        self._last = (self._last + piece[-4:])[-4:]
