"""Gzip (RFC 1952) both ways, by ISA-L."""

from collections.abc import Callable, Iterable, Iterator

from isal import igzip_lib, isal_zlib

from app.errors import ArchiveError, Code

_GZIP_WINDOW = 31
_PIECE = 1 << 20


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
    """Decompress one gzip stream in pieces of at most 1 MiB, so that a bomb costs no memory.

    Raises ArchiveError: ARCHIVE_FOREIGN where it is no gzip at all, ARCHIVE_DAMAGED where its checksum is wrong or
    something follows it, ARCHIVE_TRUNCATED where it ends too early.
    """
    decompressor = isal_zlib.decompressobj(_GZIP_WINDOW)
    begun = False
    for piece in pieces:
        rest = piece
        if not begun and not b"\x1f\x8b".startswith(piece[:2]):
            raise ArchiveError(Code.ARCHIVE_FOREIGN, "The file is not a gzip stream.")
        begun = begun or bool(piece)
        while not decompressor.eof:
            try:
                plain = decompressor.decompress(rest, _PIECE)
            except igzip_lib.IsalError as error:  # type: ignore[misc] # the stub declares an instance
                raise ArchiveError(Code.ARCHIVE_DAMAGED, f"The gzip stream is damaged: {error}.") from error
            rest = decompressor.unconsumed_tail
            if plain:
                yield plain
            if not rest and len(plain) < _PIECE:
                break
        if decompressor.eof and (decompressor.unused_data or rest):
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "Something follows the end of the gzip stream.")
    if not decompressor.eof:
        raise ArchiveError(Code.ARCHIVE_TRUNCATED, "The gzip stream ends too early.")
