"""Hostile input: whatever comes, an error of ours or a right answer comes out, in bounded time and memory."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.archive import sparse
from app.archive.contents import list_members
from app.archive.envelope import parse_envelope, read_envelope
from app.archive.headers import BLOCK, END_OF_ARCHIVE, Member, encode, seal
from app.archive.manifest import load_header, load_manifest
from app.archive.parts import PartResult
from app.archive.reader import TarReader
from app.archive.relay import Meter, TarRelay
from app.archive.sums import SumsSpool
from app.archive.verify import verify
from app.archive.writer import ArchiveWriter
from app.errors import ArchiveError, BackupError, Code, JobError, PartError
from tests.support.tars import tar_of
from tests.unit.archive.archives import CELL, PASSPHRASE, VOLUME, archive_of_volume, result, small_lock, write
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import PREFIX, Feed, Output, file_member

FIELDS = (
    0,
    2,
    99,
    100,
    107,
    108,
    116,
    124,
    125,
    135,
    136,
    147,
    148,
    154,
    156,
    157,
    257,
    263,
    265,
    345,
    386,
    482,
    483,
    504,
)
VALUES = (
    b"\0",
    b"\xff",
    b"\x80",
    b"/",
    b".",
    b"..",
    b"7",
    b"9",
    b"-",
    b" ",
    b"x",
    b"L",
    b"K",
    b"S",
    b"g",
    b"1",
    b"5",
    b"\n",
    b"=",
)
WORDS = (b"path=", b"size=", b"GNU.sparse.major=1", b"99 ", b"mtime=x", b"\n", b"..", b"/", b"0\n", b"\0")
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", autouse=True)
def _small_holes() -> Iterator[None]:
    """Bound the holes that are hashed: a real bound of 1 TiB is minutes of work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "MAX_HOLES", 1 << 24)
        yield


@pytest.fixture(scope="module")
def streams(small: Built) -> list[bytes]:
    """Give short valid streams of several formats."""
    own = file_member(b"./" + b"n" * 300, b"x" * 700) + encode(Member(b"./d/", kind=ord("5"))) + END_OF_ARCHIVE
    return [
        small.tar,
        tar_of(small.root, "--format=gnu", "--sparse", "--blocking-factor=1"),
        tar_of(small.root, "--format=posix", "--sparse-version=0.1", "--blocking-factor=1"),
        own,
    ]


@st.composite
def changes(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Draw what makes a valid stream an invalid one, mostly in its headers and with checksums that are right again."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["field", "field", "field", "word", "cut", "drop", "double", "swap"]),
                st.integers(0, 60),
                st.sampled_from(FIELDS),
                st.sampled_from(VALUES),
                st.sampled_from(WORDS),
                st.booleans(),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def change(stream: bytes) -> bytes:
        data = bytearray(stream)
        for what, block, field, value, word, sealed in steps:
            start = block * BLOCK % max(len(data), 1)
            match what:
                case "field" | "word":
                    put = value if what == "field" else word
                    data[start + field : start + field + len(put)] = put
                case "cut":
                    del data[start + field :]
                case "drop":
                    del data[start : start + BLOCK]
                case "double":
                    data[start:start] = data[start : start + BLOCK]
                case _:
                    data[start : start + 2 * BLOCK] = (
                        data[start + BLOCK : start + 2 * BLOCK] + data[start : start + BLOCK]
                    )
            if sealed and len(data) >= start + BLOCK:
                header = data[start : start + BLOCK]
                seal(header)
                data[start : start + BLOCK] = header
        return bytes(data)

    return change


def bounded(calls: int = 200) -> Callable[[], None]:
    """Give what ends work that takes too many pieces, as a person who cancels would."""
    left = iter(range(calls))

    def keep_going() -> None:
        if next(left, None) is None:
            raise JobError(Code.CANCELLED, "enough")

    return keep_going


@settings(quick, max_examples=400)
@given(st.integers(0, 3), changes(), st.lists(st.integers(1, 9000), min_size=1, max_size=5))
def test_whatever_a_container_sends_the_archive_around_it_verifies(
    streams: list[bytes], which: int, change: Callable[[bytes], bytes], sizes: list[int]
) -> None:
    stream = change(streams[which])
    output = Output()
    keep_going = bounded()

    def body(writer: ArchiveWriter) -> list[PartResult]:
        relay = writer.relay(PREFIX)
        try:
            relay.copy(Feed(stream, sizes), keep_going)
        except PartError as error:
            assert error.code == Code.STREAM_MALFORMED
        relay.close_cut(keep_going)
        return [result(CELL), result(VOLUME, relay.damaged)]

    try:
        write(output.write, body)
    except JobError:
        return
    report = verify(BytesIO(output.data), data_key=None)
    assert report.manifest is not None


@settings(quick, max_examples=150)
@given(st.binary(max_size=3000), st.integers(1, 700))
def test_arbitrary_bytes_in_a_container_s_stream_are_malformed_or_cut(data: bytes, size: int) -> None:
    output = Output()
    with closing(SumsSpool(None)) as sums:
        relay = TarRelay(PREFIX, output.put, sums, Meter())
        try:
            relay.copy(Feed(data, [size]), bounded(10_000))
        except PartError as error:
            assert error.code == Code.STREAM_MALFORMED
        else:
            assert relay.whole or len(data) < 2 * BLOCK or data[:BLOCK] == bytes(BLOCK)
        assert not output.data


@settings(quick, max_examples=400)
@given(st.integers(0, 3), changes())
def test_a_changed_tar_is_read_or_refused(streams: list[bytes], which: int, change: Callable[[bytes], bytes]) -> None:
    packed = gzip.compress(change(streams[which]), 1)
    for read in (
        lambda: verify(BytesIO(packed), data_key=None, keep_going=bounded(10_000)),
        lambda: list_members(BytesIO(packed), data_key=None),
    ):
        try:
            read()
        except BackupError as error:
            assert isinstance(error, ArchiveError | JobError)


@settings(quick, max_examples=150)
@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=6))
def test_arbitrary_bytes_are_no_tar(pieces: list[bytes]) -> None:
    try:
        list(TarReader(iter(pieces)).members())
    except ArchiveError as error:
        assert error.code in {Code.ARCHIVE_DAMAGED, Code.ARCHIVE_TRUNCATED}


@pytest.fixture(scope="module")
def archives(small: Built) -> list[tuple[bytes, bytes | None]]:
    """Give a plain and an encrypted archive, and the latter's data key."""
    lock = small_lock(chunk=700)
    return [(archive_of_volume(small.tar), None), (archive_of_volume(small.tar, lock=lock), lock.data_key)]


@settings(quick, max_examples=300)
@given(
    st.integers(0, 1),
    st.lists(
        st.tuples(st.integers(0, 10**6), st.binary(min_size=0, max_size=3), st.integers(0, 40)), min_size=1, max_size=3
    ),
)
def test_an_archive_that_was_changed_is_refused_or_says_the_same(
    archives: list[tuple[bytes, bytes | None]], which: int, edits: list[tuple[int, bytes, int]]
) -> None:
    data, key = archives[which]
    expected = verify(BytesIO(data), data_key=key)
    changed = bytearray(data)
    for at, put, removed in edits:
        changed[at % len(changed) : at % len(changed) + removed] = put
    try:
        assert verify(BytesIO(changed), data_key=key) == expected
    except ArchiveError:
        pass


lines = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(quick, max_examples=300)
@given(st.binary(max_size=300) | lines.map(lambda value: json.dumps(value).encode()))
def test_any_first_line_is_an_envelope_or_refused(line: bytes) -> None:
    for read in (lambda: parse_envelope(line), lambda: read_envelope(BytesIO(line + b"\n"))):
        with pytest.raises(ArchiveError):
            read()


@settings(quick, max_examples=300)
@given(
    st.sampled_from(["format", "version", "id", "chunk", "slots", "kdf", "n", "r", "p", "salt", "key"]),
    lines | st.text() | st.integers(),
)
def test_a_first_line_with_any_value_in_any_place_opens_or_is_refused(place: str, value: object) -> None:
    line = json.loads(SAMPLE)
    (line if place in line else line["slots"][0])[place] = value
    try:
        opened = parse_envelope(json.dumps(line))
        opened.open(PASSPHRASE)
    except ArchiveError as error:
        assert error.code.startswith(("archive_", "passphrase_wrong"))


SAMPLE = small_lock().envelope.to_line()


@settings(quick, max_examples=200)
@given(st.binary(max_size=200) | lines.map(lambda value: json.dumps(value).encode()))
def test_any_document_is_refused(raw: bytes) -> None:
    for load in (load_header, load_manifest):
        with pytest.raises(ArchiveError):
            load(raw)
