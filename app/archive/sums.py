"""The lines of SHA256SUMS, kept aside until the end of the archive and never in the clear."""

import tempfile
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from isal import isal_zlib

from app.archive.storage import write_all, writing

_PIECE = 1 << 20


def line(digest: str, path: bytes) -> bytes:
    """Write one line as `sha256sum` does; a name with a backslash or a line break is escaped (GNU coreutils)."""
    if b"\\" in path or b"\n" in path or b"\r" in path:
        path = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        return b"\\%s  %s\n" % (digest.encode(), path)
    return b"%s  %s\n" % (digest.encode(), path)


class SumsSpool:
    """Collect lines in order and give them back; ten million of them cost no memory.

    Full pieces go to a nameless file, compressed and under a key that only this object knows, since the names in an
    encrypted backup are part of its secret.
    """

    def __init__(self, directory: Path | None) -> None:
        self.size = 0
        self._directory = directory
        self._lines: list[bytes] = []
        self._pending = 0
        self._file: FileIO | None = None
        self._lengths: list[int] = []
        self._key = AESGCM(AESGCM.generate_key(256))

    def add(self, entry: bytes) -> None:
        """Append one line, or more."""
        self._lines.append(entry)
        self.size += len(entry)
        self._pending += len(entry)
        if self._pending >= _PIECE:
            self._spill()

    def pieces(self) -> Iterator[bytes]:
        """Give everything back from the beginning, in pieces of about 1 MiB that end with a line."""
        if self._file is not None:
            self._file.seek(0)
            for number, length in enumerate(self._lengths):
                yield isal_zlib.decompress(self._key.decrypt(_nonce(number), self._file.read(length), None))
        yield b"".join(self._lines)

    def close(self) -> None:
        """Give the file back to the system."""
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        with writing():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115 - see close()
        packed = isal_zlib.compress(b"".join(self._lines), 1)
        hidden = self._key.encrypt(_nonce(len(self._lengths)), packed, None)
        # counted before it is written: a number whose writing failed is not used again
        self._lengths.append(len(hidden))
        self._lines.clear()
        self._pending = 0
        write_all(self._file, hidden)


def _nonce(number: int) -> bytes:
    """Give each piece a number of its own, as the key is used by one object only (NIST SP 800-38D, 8.2.1)."""
    return number.to_bytes(12, "big")
