"""The content of an encrypted archive: one Fernet token a line (github.com/fernet/spec).

Each token's plaintext is

    archive id (16) | index (8, big endian) | last (1: 0 or 1) | up to `chunk` bytes

so that a chunk that is cut out, moved, repeated or taken from another archive is noticed, and so is a missing end.
"""

import binascii
import hmac
import os
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from app.archive.envelope import Envelope
from app.errors import ArchiveError, Code

_CHUNK_HEAD = 25
_TOKEN_HEAD = 25
_MAC = 32
_AES_BLOCK = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class FernetEncoder:
    """Make Fernet tokens that any Fernet implementation opens, out of one buffer that is used again and again.

    The stock `Fernet.encrypt` copies its input six times; for 1 MiB chunks this is twice as fast.
    """

    def __init__(self, key: bytes, size: int) -> None:
        raw = binascii.a2b_base64(key.translate(bytes.maketrans(b"-_", b"+/")))
        self._signing, self._encryption = raw[:16], raw[16:]
        self._token = bytearray(_TOKEN_HEAD + size + 2 * _AES_BLOCK + _MAC)
        self._view = memoryview(self._token)

    def encode(self, plain: memoryview) -> bytes:
        """Give the token of at most `size` bytes, with a line break behind it."""
        view = self._view
        initial = os.urandom(_AES_BLOCK)
        view[0] = 0x80
        view[1:9] = int(time.time()).to_bytes(8, "big")
        view[9:_TOKEN_HEAD] = initial
        encryptor = Cipher(algorithms.AES(self._encryption), modes.CBC(initial)).encryptor()
        fill = _AES_BLOCK - len(plain) % _AES_BLOCK
        end = _TOKEN_HEAD + encryptor.update_into(plain, view[_TOKEN_HEAD:])
        end += encryptor.update_into(bytes([fill]) * fill, view[end:])
        view[end : end + _MAC] = hmac.digest(self._signing, view[:end], "sha256")
        return binascii.b2a_base64(view[: end + _MAC]).translate(_URL_SAFE)


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
        self._index += 1
        self._fill = _CHUNK_HEAD


def decrypt(file: BinaryIO, envelope: Envelope, data_key: bytes) -> Iterator[bytes]:
    """Give the content behind the first line, chunk by chunk, each proven authentic before it is given.

    Raises ArchiveError: ARCHIVE_DAMAGED for a chunk that was changed, moved, repeated, is foreign or follows the last
    one, ARCHIVE_TRUNCATED where the end is missing. Both name the chunk, counted from 0.
    """
    fernet = Fernet(data_key)
    longest = (_TOKEN_HEAD + _CHUNK_HEAD + envelope.chunk + _AES_BLOCK + _MAC) * 4 // 3 + 8
    index, last = 0, False
    while line := file.readline(longest):
        if last:
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "Something follows the last chunk.")
        if not line.endswith(b"\n"):
            _refuse_unended(line, longest, index)
        try:
            plain = fernet.decrypt(line[:-1])
        except InvalidToken as error:
            raise ArchiveError(Code.ARCHIVE_DAMAGED, f"Chunk {index} is damaged.") from error
        last = _check_chunk(plain, envelope, index)
        yield plain[_CHUNK_HEAD:]
        index += 1
    if not last:
        raise ArchiveError(Code.ARCHIVE_TRUNCATED, f"The archive ends after {index} chunks, before its last one.")


def _refuse_unended(line: bytes, longest: int, index: int) -> None:
    if len(line) >= longest:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"Chunk {index} is longer than the archive says.")
    raise ArchiveError(Code.ARCHIVE_TRUNCATED, f"The archive ends in the middle of chunk {index}.")


def _check_chunk(plain: bytes, envelope: Envelope, index: int) -> bool:
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
