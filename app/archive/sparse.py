"""Sparse members (GNU tar's manual, 'Storing Sparse Files'): what their expanded contents hash to.

`sha256sum -c` reads the file that was extracted, holes and all, so its line must speak of that and not of the
condensed data in the archive. Three notations exist: a map at the head of the data (PAX 1.0), a map in the records
(PAX 0.0 and 0.1), a map in the header and its extension blocks (old GNU).
"""

import hashlib
from collections.abc import Sequence

from app.archive.headers import BLOCK, GNU_SPARSE, MalformedTarError, Records, decimal, number

Map = list[tuple[int, int]]

_ZEROS = bytes(1 << 20)
_MAX_MAP_HEAD = 64 << 20
_MAX_SEGMENTS = 1 << 20
MAX_HOLES = 1 << 40


class SparseHash:
    """Hash a sparse member's expanded contents out of its condensed data, fed in any pieces."""

    def __init__(self, real_size: int, segments: Map | None) -> None:
        self._hash = hashlib.sha256()
        self._real_size = real_size
        self._head = b""
        self._segments: Map = []
        self._known = segments is not None
        self._position = 0
        self._index = 0
        self._left = 0
        if segments is not None:
            self._begin(segments)

    def update(self, data: memoryview | bytes) -> None:
        """Take condensed data, without the padding behind it; MalformedTarError where it does not fit its map."""
        view = memoryview(data)
        if not self._known:
            view = self._read_map(view)
        while view:
            if not self._left:
                self._next_segment()
            piece = view[: self._left]
            self._hash.update(piece)
            self._position += len(piece)
            self._left -= len(piece)
            view = view[len(piece) :]

    def hexdigest(self) -> str:
        """Give the digest of the expanded contents; MalformedTarError where the data ended before its map did."""
        if self._left or not self._known or any(length for _, length in self._segments[self._index :]):
            raise MalformedTarError("a sparse member is shorter than its map says")
        self._fill_to(self._real_size)
        return self._hash.hexdigest()

    def rest_of_map(self) -> bytes:
        """Give what ends a PAX 1.0 map that is not whole yet: zero for each number that is missing."""
        first = self._head.partition(b"\n")[0] or b"0"
        if self._known or not first.isdigit() or len(first) > 7:
            return b""
        end = b"0\n" if not self._head else b"" if self._head.endswith(b"\n") else b"\n"
        missing = 2 * int(first) + 1 - (self._head + end).count(b"\n")
        return end + b"0\n" * missing

    def _begin(self, segments: Map) -> None:
        position = 0
        for offset, length in segments:
            if offset < position or offset + length > self._real_size:
                raise MalformedTarError("the map of a sparse member is not in order")
            position = offset + length
        if self._real_size - sum(length for _, length in segments) > MAX_HOLES:
            raise MalformedTarError("the holes of a sparse member are larger than 1 TiB")
        self._segments = segments
        self._known = True

    def _read_map(self, view: memoryview) -> memoryview:
        self._head += bytes(view)
        numbers, end = _numbers(self._head)
        if numbers is None:
            if len(self._head) > _MAX_MAP_HEAD:
                raise MalformedTarError("the map of a sparse member is too long")
            return view[:0]
        self._begin(list(zip(numbers[::2], numbers[1::2], strict=True)))
        rest, self._head = self._head[end:], b""
        return memoryview(rest)

    def _next_segment(self) -> None:
        while not self._left:
            if self._index == len(self._segments):
                raise MalformedTarError("a sparse member is longer than its map says")
            offset, self._left = self._segments[self._index]
            self._index += 1
            self._fill_to(offset)

    def _fill_to(self, offset: int) -> None:
        while self._position < offset:
            piece = _ZEROS[: offset - self._position]
            self._hash.update(piece)
            self._position += len(piece)


def _numbers(head: bytes) -> tuple[list[int] | None, int]:
    """Read a PAX 1.0 map: a count, then that many pairs, one number a line, padded to a block; None while it is cut."""
    first, found, _ = head.partition(b"\n")
    if not found:
        return None, 0
    count = 2 * decimal(first)
    if count > 2 * _MAX_SEGMENTS:
        raise MalformedTarError("the map of a sparse member is too long")
    if head.count(b"\n") < count + 1:
        return None, 0
    lines = head.split(b"\n", count + 1)
    end = sum(len(line) + 1 for line in lines[: count + 1])
    end += -end % BLOCK
    if len(head) < end:
        return None, 0
    return [decimal(line) for line in lines[1 : count + 1]], end


def real_size(block: bytes, records: Records) -> int | None:
    """Give the bytes of a sparse member's expanded contents, or None where the member is not sparse."""
    if block[156] == GNU_SPARSE:
        return number(block[483:495])
    size = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
    return None if size is None else decimal(size)


def sparse_hash(records: Records) -> SparseHash | None:
    """Give the hash for a member whose PAX records make it sparse, or None where they don't."""
    size = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
    if size is None:
        return None
    if records.get(b"GNU.sparse.major") == b"1":
        return SparseHash(decimal(size), None)
    numbers = [decimal(item) for item in records.get(b"GNU.sparse.map", b"").split(b",") if item]
    return SparseHash(decimal(size), list(zip(numbers[::2], numbers[1::2], strict=False)))


def old_gnu_sparse_hash(block: bytes, extensions: Sequence[bytes]) -> SparseHash:
    """Give the hash for a header of type `S` and its extension blocks."""
    fields = [block[386:482], *(extension[:504] for extension in extensions)]
    pairs = [area[at : at + 24] for area in fields for at in range(0, len(area), 24)]
    segments = [(number(pair[:12]), number(pair[12:])) for pair in pairs if pair[0] or pair[12]]
    return SparseHash(number(block[483:495]), segments)
