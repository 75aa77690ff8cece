"""Fernet tokens of a MiB and more (github.com/fernet/spec).

The stock one takes base64 a byte at a time and copies its input six times; here the work is the cipher and the MAC.
"""

import base64
import hmac
import os
import time

import pybase64
from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_VERSION = b"\x80"
_HEAD = 25
_MAC = 32
_BLOCK = 16
_URL_SAFE = b"-_"


def token_size(size: int) -> int:
    """Give the length of the token of so many bytes."""
    return (_HEAD + _padded(size) + _MAC + 2) // 3 * 4


def _padded(size: int) -> int:
    return size - size % _BLOCK + _BLOCK


class _Keys:
    """Hold both halves of a Fernet key, and a buffer for what they are used on."""

    def __init__(self, key: bytes, size: int) -> None:
        raw = base64.urlsafe_b64decode(key)  # as the stock one takes it
        self._signing = raw[:16]
        self._cipher = algorithms.AES(raw[16:])
        self._most = _padded(size)
        # as `update_into` wants it: a block more than comes out, for either way
        self._buffer = memoryview(bytearray(_HEAD + size + 2 * _BLOCK + _MAC))

    def _mac(self, signed: memoryview) -> bytes:
        return hmac.digest(self._signing, signed, "sha256")


class FernetEncoder(_Keys):
    """Make tokens of at most `size` bytes, which any Fernet implementation opens, one after the other in one buffer."""

    def encode(self, plain: memoryview) -> bytes:
        """Give the token."""
        view = self._buffer
        initial = os.urandom(_BLOCK)
        view[:1] = _VERSION
        view[1:9] = int(time.time()).to_bytes(8, "big")
        view[9:_HEAD] = initial
        encryptor = Cipher(self._cipher, modes.CBC(initial)).encryptor()
        fill = _BLOCK - len(plain) % _BLOCK
        end = _HEAD + encryptor.update_into(plain, view[_HEAD:])
        end += encryptor.update_into(bytes([fill]) * fill, view[end:])
        view[end : end + _MAC] = self._mac(view[:end])
        return pybase64.urlsafe_b64encode(view[: end + _MAC])


class FernetDecoder(_Keys):
    """Open tokens of at most `size` bytes, of any Fernet implementation, one after the other in one buffer."""

    def decode(self, line: bytes) -> memoryview:
        """Give what the token in a line holds, until the next one is opened; InvalidToken where it is not of this key.

        The last byte of the line is its break.
        """
        if b"+" in line or b"/" in line:  # what pybase64 takes too, for now
            raise InvalidToken
        try:
            raw = memoryview(pybase64.b64decode(memoryview(line)[:-1], altchars=_URL_SAFE, validate=True))
        except ValueError as error:
            raise InvalidToken from error
        signed, mac = raw[:-_MAC], raw[-_MAC:]
        hidden = signed[_HEAD:]
        size = len(hidden)
        if signed[:1] != _VERSION or not 0 < size <= self._most or size % _BLOCK:
            raise InvalidToken
        if not hmac.compare_digest(self._mac(signed), mac):
            raise InvalidToken
        decryptor = Cipher(self._cipher, modes.CBC(bytes(signed[9:_HEAD]))).decryptor()
        return _unpadded(self._buffer[: decryptor.update_into(hidden, self._buffer)])


def _unpadded(padded: memoryview) -> memoryview:
    """Take the padding off (RFC 5652, 6.3); InvalidToken where it is none."""
    fill = padded[-1]
    if not 1 <= fill <= _BLOCK or padded[-fill:] != bytes([fill]) * fill:
        raise InvalidToken
    return padded[:-fill]
