"""Gzip, held against Python's own and `gzip -t`."""

import gzip
import subprocess
import tracemalloc
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive.compress import GzipSink, gunzip
from app.errors import ArchiveError, Code
from tests.unit.archive.support import Output

MIB = 1 << 20
CONTENT = Random(1).randbytes(5000) + b"text " * 20_000 + bytes(50_000)
PACKED = gzip.compress(CONTENT, mtime=0)
LARGE = gzip.compress(Random(2).randbytes(5 * MIB), 0, mtime=0)


def packed(content: bytes, piece: int = MIB, level: int = 1) -> bytes:
    output = Output()
    sink = GzipSink(output.write, level)
    for at in range(0, len(content), piece):
        sink.write(content[at : at + piece])
    sink.finish()
    return bytes(output.data)


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def refusal(data: bytes, size: int = MIB) -> tuple[ArchiveError, int]:
    """Give how a stream is refused, and how much had come out of it by then."""
    out = 0
    with pytest.raises(ArchiveError) as caught:  # noqa: PT012 - what came out is counted up to the error
        for plain in gunzip(in_pieces(data, size)):
            out += len(plain)
    return caught.value, out


def code_of(data: bytes, size: int = MIB) -> Code:
    return refusal(data, size)[0].code


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=["nothing", "a byte", "much"])
def test_gzip_and_python_read_what_was_written(level: int, content: bytes) -> None:
    data = packed(content, 1000, level)

    assert gzip.decompress(data) == content
    subprocess.run(["gzip", "--test"], input=data, check=True)


def test_equal_input_gives_equal_bytes() -> None:
    assert packed(CONTENT) == packed(CONTENT)
    assert packed(CONTENT)[4:8] == bytes(4), "no time in the header"


@pytest.mark.parametrize("size", [1, 7, 1000, MIB])
def test_what_gzip_wrote_is_read_in_pieces_of_any_size(size: int) -> None:
    named = subprocess.run(["gzip", "-9"], input=CONTENT, capture_output=True, check=True).stdout
    for data in (PACKED, named, packed(CONTENT), gzip.compress(b"")):
        assert b"".join(gunzip(in_pieces(data, size))) == gzip.decompress(data)
    assert b"".join(gunzip([b"", PACKED[:50], b"", PACKED[50:], b""])) == CONTENT


@pytest.mark.parametrize("size", [1, 100, MIB])
def test_a_cut_anywhere_is_noticed(size: int) -> None:
    for cut in [*range(20), *range(20, len(PACKED), 499), *range(len(PACKED) - 9, len(PACKED))]:
        assert code_of(PACKED[:cut], size) == Code.ARCHIVE_TRUNCATED, cut


@pytest.mark.parametrize("size", [1, 100, MIB])
@pytest.mark.parametrize("more", [b"x" * 10, b"\0", b"\0" * 100_000, PACKED, gzip.compress(b"")], ids=repr)
def test_something_behind_the_end_is_damage(more: bytes, size: int) -> None:
    assert code_of(PACKED + more, size) == Code.ARCHIVE_DAMAGED


@pytest.mark.parametrize("size", [1, 100, MIB])
@pytest.mark.parametrize("more", [b"x", b"\x1f", PACKED[:-1]], ids=["a byte", "a mark", "a cut stream"])
def test_the_beginning_of_another_stream_is_not_taken_for_the_end(more: bytes, size: int) -> None:
    assert code_of(PACKED + more, size) == Code.ARCHIVE_TRUNCATED


def test_a_flipped_bit_in_content_or_checksum_is_damage() -> None:
    for at in [*range(10, len(PACKED), 97), *range(len(PACKED) - 8, len(PACKED))]:
        data = bytearray(PACKED)
        data[at] ^= 1 << at % 8
        assert code_of(bytes(data)) in {Code.ARCHIVE_DAMAGED, Code.ARCHIVE_TRUNCATED}, at


@pytest.mark.parametrize("data", [b"x", b"\x1fx", b"\x1f\x8a", b"PK\3\4", b"{}\n", b"\0" * 512], ids=repr)
def test_what_is_no_gzip_is_foreign(data: bytes) -> None:
    assert code_of(data) == Code.ARCHIVE_FOREIGN


@pytest.mark.parametrize("size", [1000, MIB])
@pytest.mark.parametrize("keep", [1, 10, 3 * MIB, -9, -1])
def test_a_cut_is_told_by_its_place(keep: int, size: int) -> None:
    data = LARGE[:keep]
    error, out = refusal(data, size)

    assert (out > 0) == (len(data) >= 3 * MIB)
    assert f"it ends at byte {len(data)}, and {out} bytes of its tar stream" in str(error)


@pytest.mark.parametrize(
    ("at", "bit", "more"),
    [(4 * MIB, 1, b""), (-8, 1, b""), (-4, 1, b""), (0, 0, b"\0" * 8)],
    ids=["contents", "checksum", "length", "something behind"],
)
def test_damage_is_told_by_how_far_it_was_read(at: int, bit: int, more: bytes) -> None:
    data = bytearray(LARGE + more)
    data[at] ^= bit
    error, out = refusal(bytes(data))

    assert error.code == Code.ARCHIVE_DAMAGED
    assert out > 3 * MIB
    assert f"read up to byte {len(data)}, and {out} bytes of its tar stream" in str(error)


@pytest.mark.parametrize(("data", "says"), [(b"", "before its first byte"), (b"PK\3\4", "first two bytes")])
def test_what_has_no_beginning_is_told_by_that(data: bytes, says: str) -> None:
    assert says in str(refusal(data)[0])


def test_a_header_without_an_end_is_damage() -> None:
    named = PACKED[:3] + b"\x08" + PACKED[4:10] + b"n" * (3 * MIB) + b"\0" + PACKED[10:]
    assert gzip.decompress(named) == CONTENT
    assert code_of(named) == Code.ARCHIVE_DAMAGED


def test_a_bomb_costs_no_memory() -> None:
    bomb = packed(bytes(400 * MIB))
    assert len(bomb) < 4 * MIB
    total = largest = 0
    tracemalloc.start()
    try:
        for piece in gunzip([bomb]):
            total += len(piece)
            largest = max(largest, len(piece))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert total == 400 * MIB
    assert largest <= 2 * MIB
    assert peak < 24 * MIB


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 60), st.booleans())
def test_arbitrary_bytes_are_refused(data: bytes, size: int, begun: bool) -> None:  # noqa: FBT001 - drawn
    data = b"\x1f\x8b\x08\0" + data if begun else data
    try:
        plain = b"".join(gunzip(in_pieces(data, size)))
    except ArchiveError:
        return
    assert plain == gzip.decompress(data)
