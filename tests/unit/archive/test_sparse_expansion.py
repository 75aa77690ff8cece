"""One expander for all notations of sparse members: what it gives, and what it refuses."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive import sparse
from app.archive.headers import MalformedTarError
from app.archive.sparse import SparseData, SparseHash


def map_of(segments: Sequence[tuple[int, int]]) -> bytes:
    """Write a map as PAX 1.0 does, at the head of the data."""
    numbers = [len(segments), *(number for pair in segments for number in pair)]
    text = b"".join(b"%d\n" % number for number in numbers)
    return text + bytes(-len(text) % 512)


def expanded(data: SparseData, condensed: bytes, sizes: Sequence[int]) -> bytes:
    out, rest = bytearray(), condensed
    for size in [*sizes, len(condensed)]:
        for offset, piece in data.expand(rest[:size]):
            assert offset >= len(out)
            out += bytes(offset - len(out)) + piece
        rest = rest[size:]
    data.end()
    return bytes(out) + bytes(data.size - len(out))


segments = st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=700)), max_size=8)


@settings(deadline=None, max_examples=200)
@given(segments, st.integers(0, 2000), st.lists(st.integers(0, 600), max_size=12), st.booleans())
def test_what_was_condensed_expands_to_the_same(
    parts: list[tuple[int, bytes]],
    tail: int,
    sizes: list[int],
    in_data: bool,  # noqa: FBT001
) -> None:
    whole, where, condensed = bytearray(), [], b""
    for hole, content in parts:
        whole += bytes(hole)
        where.append((len(whole), len(content)))
        whole += content
        condensed += content
    whole += bytes(tail)
    stream = map_of(where) + condensed if in_data else condensed

    def data() -> SparseData:
        return SparseData(len(whole), None if in_data else where)

    assert expanded(data(), stream, sizes) == whole
    hasher, given_out = SparseHash(data()), []
    hasher.give = lambda offset, piece: given_out.append((offset, bytes(piece)))
    hasher.update(stream)
    assert hasher.hexdigest() == hashlib.sha256(whole).hexdigest()
    assert b"".join(piece for _, piece in given_out) == condensed
    assert all(whole[offset : offset + len(piece)] == piece for offset, piece in given_out)


@pytest.mark.parametrize(
    ("size", "where"),
    [
        (10, [(5, 10)]),
        (10, [(5, 2), (4, 2)]),
        (10, [(0, 4), (3, 2)]),
        (10, [(5, -2)]),
        (10, [(-1, 2)]),
        (10, [(9, -9), (3, 4)]),
        (-1, []),
        (sparse.MAX_HOLES + 1, []),
        (sparse.MAX_HOLES + 11, [(0, 10)]),
    ],
)
def test_a_map_that_cannot_be_is_refused(size: int, where: list[tuple[int, int]]) -> None:
    with pytest.raises(MalformedTarError):
        SparseData(size, where)


@pytest.mark.parametrize("length", [0, 1, 9, 11, 30])
def test_data_of_another_length_does_not_fit(length: int) -> None:
    with pytest.raises(MalformedTarError):
        expanded(SparseData(100, [(20, 5), (50, 5)]), b"x" * length, [])


@pytest.mark.parametrize(
    "head",
    [
        b"x\n",
        b"1" * 30,
        b"99999999999999999999\n",
        b"1048577\n",
        b"-1\n",
        b"1\n0\n\n" + bytes(507),
        b"\n",
        b"1\n0\nx\n" + bytes(506),
    ],
    ids=repr,
)
def test_a_map_in_the_data_that_is_no_map_is_refused(head: bytes) -> None:
    data = SparseData(100, None)
    with pytest.raises(MalformedTarError):
        list(data.expand(head))


def test_a_map_without_an_end_is_refused_after_64_mib() -> None:
    data = SparseData(100, None)
    piece = b"1000\n" + b"0" * (1 << 20)
    for _ in range(63):
        assert list(data.expand(piece)) == []
    with pytest.raises(MalformedTarError):
        list(data.expand(piece))


def test_a_long_map_in_short_pieces_is_read_once() -> None:
    where = [(2 * number, 1) for number in range(50_000)]
    stream = map_of(where) + b"x" * 50_000
    pieces = [stream[at : at + 100] for at in range(0, len(stream), 100)]
    data = SparseData(100_000, None)
    assert sum(len(piece) for part in pieces for _, piece in data.expand(part)) == 50_000
    data.end()


def test_holes_are_hashed_as_somebody_watches() -> None:
    calls: list[None] = []
    hasher = SparseHash(SparseData(10 << 20, [(5 << 20, 3)]))
    hasher.keep_going = lambda: calls.append(None)
    hasher.update(b"abc")
    assert len(calls) == 5
    hasher.hexdigest()
    assert len(calls) == 9
