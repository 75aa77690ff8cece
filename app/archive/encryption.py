"""The content of an encrypted archive: one Fernet token a line (github.com/fernet/spec).

Each token's plaintext is

    archive id (16) | index (8, big endian) | last (1: 0 or 1) | up to `chunk` bytes

so that a chunk that is cut out, moved, repeated or taken from another archive is noticed, and so is a missing end.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from cryptography.fernet import InvalidToken

from app.archive.envelope import Envelope
from app.archive.fernet import FernetDecoder, FernetEncoder, token_size
from app.errors import ArchiveError, Code

_CHUNK_HEAD = 25


class EncryptingSink:
    """Encrypt what is written, chunk by chunk; the first line is written at once."""

    def __init__(self, out: Callable[[bytes], None], envelope: Envelope, data_key: bytes) -> None:
        self._out = out
        self._encoder = FernetEncoder(data_key, _CHUNK_HEAD + envelope.chunk)
        self._chunk = bytearray(_CHUNK_HEAD + envelope.chunk)
        self._view = memoryview(self._chunk)
        self._chunk[:16] = envelope.archive_id
        self._fill = _CHUNK_HEAD
        self._index = 0
        out(envelope.to_line().encode() + b"\n")

    def write(self, data: bytes) -> None:
        """Take plain bytes."""
        view = memoryview(data)
        while view:
            # a full chunk waits until more comes: only then it is known not to be the last
            if self._fill == len(self._chunk):
                self._flush(last=False)
            take = min(len(view), len(self._chunk) - self._fill)
            self._view[self._fill : self._fill + take] = view[:take]
            self._fill += take
            view = view[take:]

    def finish(self) -> None:
        """Write the last chunk, marked as such."""
        self._flush(last=True)

    def _flush(self, *, last: bool) -> None:
        self._view[16:24] = self._index.to_bytes(8, "big")
        self._view[24] = last
        self._out(self._encoder.encode(self._view[: self._fill]))
        self._out(b"\n")  # by itself, as putting it behind the token would copy that
        self._index += 1
        self._fill = _CHUNK_HEAD


def decrypt(file: BinaryIO, envelope: Envelope, data_key: bytes) -> Iterator[bytes]:
    """Give the content behind the first line, chunk by chunk, each proven authentic before it is given.

    Raises ArchiveError: ARCHIVE_DAMAGED for a chunk that was changed, moved, repeated, is foreign or follows the last
    one, ARCHIVE_TRUNCATED where the end is missing. Both name the chunk, counted from 0.
    """
    decoder = FernetDecoder(data_key, _CHUNK_HEAD + envelope.chunk)
    longest = token_size(_CHUNK_HEAD + envelope.chunk) + 8
    index, last = 0, False
    while line := file.readline(longest):
        if last:
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "Something follows the last chunk.")
        if not line.endswith(b"\n"):
            _refuse_unended(line, longest, index)
        try:
            plain = decoder.decode(line)
        except InvalidToken as error:
            raise ArchiveError(Code.ARCHIVE_DAMAGED, f"Chunk {index} is damaged.") from error
        last = _check_chunk(plain, envelope, index)
        yield bytes(plain[_CHUNK_HEAD:])
        index += 1
    if not last:
        raise ArchiveError(Code.ARCHIVE_TRUNCATED, f"The archive ends after {index} chunks, before its last one.")


def _refuse_unended(line: bytes, longest: int, index: int) -> None:
    if len(line) >= longest:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"Chunk {index} is longer than the archive says.")
    raise ArchiveError(Code.ARCHIVE_TRUNCATED, f"The archive ends in the middle of chunk {index}.")


def _check_chunk(plain: memoryview, envelope: Envelope, index: int) -> bool:
    """Tell whether the chunk is the last one; ArchiveError where it does not belong here."""
    if len(plain) < _CHUNK_HEAD or plain[24] > 1:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"Chunk {index} is malformed.")
    if plain[:16] != envelope.archive_id:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"Chunk {index} belongs to another archive.")
    found = int.from_bytes(plain[16:24], "big")
    if found != index:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"Chunk {found} stands where chunk {index} belongs.")
    size, last = len(plain) - _CHUNK_HEAD, plain[24] == 1
    if size > envelope.chunk or (size < envelope.chunk and not last):
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"Chunk {index} has {size} bytes, not what the first line says.")
    return last
