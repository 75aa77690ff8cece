"""A file that is read twice and must be the same both times: what the first pass proved, the second may use."""

import hashlib
import io
import os
from typing import BinaryIO, cast

from typing_extensions import Buffer, override

from app.errors import ArchiveError, Code

_BLOCK = 4 << 20
_BUFFER = 1 << 20


class PinnedFile(io.BufferedReader):
    """Read an open archive from its beginning to its end, and again after each `rewind`; closes it in the end.

    The first pass notes the SHA-256 of each block, later ones compare a block before they give a byte of it. Reading
    raises ArchiveError ARCHIVE_DAMAGED where the file has changed. `seek` goes as far as the buffer of 1 MiB does.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size = file.seek(0, os.SEEK_END)
        self._blocks = _Blocks(file)
        super().__init__(self._blocks, _BUFFER)

    def rewind(self) -> None:
        """Begin the next pass; the one before it must have come to the end."""
        self._blocks.rewind()
        # forgets what is buffered, which `seek` would not
        super().__init__(self._blocks, _BUFFER)


class _Blocks(io.RawIOBase):
    """Read whole blocks, note or compare the digest of each, and give them out."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = cast("io.BufferedIOBase", file)  # BinaryIO lacks the `readinto` that all such files have
        self._digests: list[bytes] = []
        self._is_first_pass = True
        self._buffer = memoryview(bytearray(_BLOCK))
        self._begin()

    def rewind(self) -> None:
        """Compare from now on, from the beginning."""
        self._is_first_pass = False
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._position = self._number = self._filled = 0
        self._left = self._buffer[:0]

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._position

    @override
    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        # a file so short that the buffer above is empty again is still in hand here, as a whole
        if (offset, whence) != (0, os.SEEK_SET) or self._number > 1 or self._position > _BUFFER:
            raise io.UnsupportedOperation("a pinned file is read from its beginning to its end")
        self._left = self._buffer[: self._filled]
        self._position = 0
        return 0

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        if not self._left:
            self._left = self._next()
        out = memoryview(buffer).cast("B")
        size = min(len(out), len(self._left))
        out[:size] = self._left[:size]
        self._left = self._left[size:]
        self._position += size
        return size

    @override
    def close(self) -> None:
        self._file.close()
        super().close()

    def _next(self) -> memoryview:
        """Read the next block whole, which is empty at the end of the file; ArchiveError where it is another one."""
        filled = 0
        while filled < _BLOCK and (size := self._file.readinto(self._buffer[filled:])):
            filled += size
        block = self._buffer[:filled]
        digest = hashlib.sha256(block).digest()
        if self._is_first_pass:
            if block:
                self._digests.append(digest)
        elif self._digests[self._number :][:1] != ([digest] if block else []):
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "The archive's file changed while it was being restored.")
        self._number += 1
        self._filled = filled
        return block
