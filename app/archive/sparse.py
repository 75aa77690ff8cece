"""Sparse members (GNU tar's manual, 'Storing Sparse Files'): what their condensed data expands to, and its hash.

`sha256sum -c` reads the file that was extracted, holes and all, so its line must speak of that and not of the
condensed data in the archive. Three notations exist: a map at the head of the data (PAX 1.0), a map in the records
(PAX 0.0 and 0.1), a map in the header and its extension blocks (old GNU).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

from app.archive.headers import BLOCK, GNU_SPARSE, MalformedTarError, Member, Records, decimal, number

Map = list[tuple[int, int]]

_ZEROS = bytes(1 << 20)
_MAX_MAP_HEAD = 64 << 20
_MAX_SEGMENTS = 1 << 20
_MAX_DIGITS = 20
MAX_HOLES = 1 << 40


class SparseData:
    """Tell where each piece of a sparse member's condensed data belongs; it may be fed in any pieces.

    Raises MalformedTarError where the data does not fit its map.
    """

    def __init__(self, size: int, segments: Map | None) -> None:
        self.size = size
        self._head = bytearray()
        self._lines = 0
        self._segments: Map = []
        self._known = segments is not None
        self._position = 0
        self._index = 0
        self._left = 0
        if segments is not None:
            self._begin(segments)

    def expand(self, data: memoryview | bytes) -> Iterator[tuple[int, memoryview]]:
        """Take condensed data, without the padding behind it; give its pieces, each with its offset in the file."""
        view = memoryview(data)
        if not self._known:
            view = self._read_map(view)
        while view:
            if not self._left:
                self._next_segment()
            piece = view[: self._left]
            yield self._position, piece
            self._position += len(piece)
            self._left -= len(piece)
            view = view[len(piece) :]

    def end(self) -> None:
        """Hear that the data has ended; MalformedTarError where that is before its map did."""
        if self._left or not self._known or any(length for _, length in self._segments[self._index :]):
            raise MalformedTarError("a sparse member is shorter than its map says")

    def rest_of_map(self) -> bytes:
        """Give what ends a PAX 1.0 map that is not whole yet: zero for each number that is missing."""
        head = bytes(self._head)
        first = head.partition(b"\n")[0] or b"0"
        if self._known or not first.isdigit() or len(first) > 7:
            return b""
        end = b"0\n" if not head else b"" if head.endswith(b"\n") else b"\n"
        missing = 2 * int(first) + 1 - (head + end).count(b"\n")
        return end + b"0\n" * missing

    def _begin(self, segments: Map) -> None:
        position = data = 0
        for offset, length in segments:
            if offset < position or length < 0:
                raise MalformedTarError("the map of a sparse member is not in order")
            position = offset + length
            data += length
        if position > self.size:
            raise MalformedTarError("the map of a sparse member is not in order")
        if self.size - data > MAX_HOLES:
            raise MalformedTarError("the holes of a sparse member are larger than 1 TiB")
        self._segments = segments
        self._known = True

    def _read_map(self, view: memoryview) -> memoryview:
        self._head += view
        self._lines += bytes(view).count(b"\n")
        count = self._count()
        if count is None or self._lines <= count:
            self._bound_map()
            return view[:0]
        *lines, _ = self._head.split(b"\n", count + 1)
        end = sum(len(line) + 1 for line in lines)
        end += -end % BLOCK
        if len(self._head) < end:
            return view[:0]
        numbers = [decimal(bytes(line)) for line in lines[1:]]
        self._begin(list(zip(numbers[::2], numbers[1::2], strict=True)))
        rest, self._head = bytes(self._head[end:]), bytearray()
        return memoryview(rest)

    def _count(self) -> int | None:
        """Give how many numbers follow the first one; None while that is cut."""
        end = self._head.find(b"\n", 0, _MAX_DIGITS + 1)
        if end < 0:
            if len(self._head) > _MAX_DIGITS:
                raise MalformedTarError("the map of a sparse member has no count")
            return None
        count = 2 * decimal(bytes(self._head[:end]))
        if count > 2 * _MAX_SEGMENTS:
            raise MalformedTarError("the map of a sparse member is too long")
        return count

    def _bound_map(self) -> None:
        if len(self._head) > _MAX_MAP_HEAD:
            raise MalformedTarError("the map of a sparse member is too long")

    def _next_segment(self) -> None:
        while not self._left:
            if self._index == len(self._segments):
                raise MalformedTarError("a sparse member is longer than its map says")
            self._position, self._left = self._segments[self._index]
            self._index += 1


class SparseHash:
    """Hash a sparse member's expanded contents out of its condensed data.

    Each piece also goes to `give` with its offset. `keep_going` is called once a MiB of holes and may raise.
    """

    def __init__(self, data: SparseData) -> None:
        self.size = data.size
        self.give: Callable[[int, memoryview], None] | None = None
        self.keep_going: Callable[[], None] = lambda: None
        self._data = data
        self._hash = hashlib.sha256()
        self._hashed = 0

    def update(self, data: memoryview | bytes) -> None:
        """Take condensed data, without the padding behind it; MalformedTarError where it does not fit its map."""
        for offset, piece in self._data.expand(data):
            self._fill_to(offset)
            self._hash.update(piece)
            self._hashed += len(piece)
            if self.give is not None:
                self.give(offset, piece)

    def hexdigest(self) -> str:
        """Give the digest of the expanded contents; MalformedTarError where the data ended before its map did."""
        self._data.end()
        self._fill_to(self.size)
        return self._hash.hexdigest()

    def rest_of_map(self) -> bytes:
        """Give what ends a map that is not whole yet."""
        return self._data.rest_of_map()

    def _fill_to(self, offset: int) -> None:
        while self._hashed < offset:
            piece = memoryview(_ZEROS)[: offset - self._hashed]
            self._hash.update(piece)
            self._hashed += len(piece)
            if len(piece) == len(_ZEROS):
                self.keep_going()


def is_sparse(member: Member) -> bool:
    """Tell whether a member's header or its PAX records make it sparse."""
    records = member.records
    return member.kind == GNU_SPARSE or b"GNU.sparse.realsize" in records or b"GNU.sparse.size" in records


def real_size(block: bytes, records: Records) -> int | None:
    """Give the bytes of a sparse member's expanded contents, or None where the member is not sparse."""
    if block[156] == GNU_SPARSE:
        return number(block[483:495])
    size = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
    return None if size is None else decimal(size)


def sparse_data(block: bytes, extensions: Sequence[bytes], records: Records) -> SparseData | None:
    """Give what expands a member that its header or its PAX records make sparse, or None where they don't."""
    size = real_size(block, records)
    if size is None:
        return None
    if block[156] == GNU_SPARSE:
        return SparseData(size, _old_map(block, extensions))
    if records.get(b"GNU.sparse.major") == b"1":
        return SparseData(size, None)
    numbers = [decimal(item) for item in records.get(b"GNU.sparse.map", b"").split(b",") if item]
    return SparseData(size, list(zip(numbers[::2], numbers[1::2], strict=False)))


def sparse_hash(block: bytes, extensions: Sequence[bytes], records: Records) -> SparseHash | None:
    """Give the hash of a sparse member, or None for one that is not sparse."""
    data = sparse_data(block, extensions, records)
    return None if data is None else SparseHash(data)


def _old_map(block: bytes, extensions: Sequence[bytes]) -> Map:
    fields = [block[386:482], *(extension[:504] for extension in extensions)]
    pairs = [area[at : at + 24] for area in fields for at in range(0, len(area), 24)]
    return [(number(pair[:12]), number(pair[12:])) for pair in pairs if pair[0] or pair[12]]
