"""Hostile input: whatever comes, an error of ours or a right answer comes out, in bounded time and memory."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.archive import sparse
from app.archive.contents import list_members
from app.archive.envelope import parse_envelope, read_envelope
from app.archive.headers import (
    BLOCK,
    DIRECTORY,
    END_OF_ARCHIVE,
    MalformedTarError,
    Member,
    checked,
    encode,
    seal,
)
from app.archive.manifest import load_header, load_manifest
from app.archive.parts import PartResult
from app.archive.reader import TarReader
from app.archive.relay import Meter, TarRelay
from app.archive.sums import SumsSpool
from app.archive.verify import verify
from app.archive.writer import ArchiveWriter
from app.errors import ArchiveError, BackupError, Code, JobError, PartError
from tests.support.tars import SERVICE_FLAGS, tar_of
from tests.unit.archive.archives import CELL, PASSPHRASE, VOLUME, archive_of_volume, result, small_lock, write
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import PREFIX, Feed, Output, file_member, go_on

# places of name, mode, uid, gid, size, mtime, checksum, type, link, magic, owner, prefix, and of a sparse map
FIELDS = (
    0,
    2,
    3,
    50,
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
)
VALUES = (*(bytes([byte]) for byte in b"\0\xff\x80/.79- xLKSg15\n="), b"..", b"/..", b"x" * 8)
WORDS = (b"path=", b"size=", b"GNU.sparse.major=1", b"99 ", b"mtime=x", b"\n", b"..", b"/", b"0\n", b"\0")
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", autouse=True)
def _small_holes() -> Iterator[None]:
    """Bound the holes that are hashed: a real bound of 1 TiB is minutes of work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "MAX_HOLES", 1 << 24)
        yield


class Streams:
    """Hold short valid streams of several formats; they show in no report."""

    def __init__(self, root: Path) -> None:
        own = file_member(b"./" + b"n" * 300, b"x" * 700) + encode(Member(b"./d/", kind=DIRECTORY)) + END_OF_ARCHIVE
        self.tars = [
            tar_of(root, "--blocking-factor=1", *SERVICE_FLAGS),
            tar_of(root, "--blocking-factor=1", "--format=gnu", "--sparse"),
            tar_of(root, "--blocking-factor=1", "--format=posix", "--sparse-version=0.1"),
            own,
        ]


@pytest.fixture(scope="module")
def streams(small: Built) -> Streams:
    return Streams(small.root)


class Archives:
    """Hold a plain and an encrypted archive, each with its data key."""

    def __init__(self, stream: bytes) -> None:
        lock = small_lock(chunk=700)
        self.both = [(archive_of_volume(stream), None), (archive_of_volume(stream, lock=lock), lock.data_key)]


@pytest.fixture(scope="module")
def archives(small: Built) -> Archives:
    return Archives(small.tar)


@dataclass(frozen=True, slots=True)
class Change:
    """Make one change to a stream, mostly in a header and with a checksum that is right again."""

    what: str
    header: int
    field: int
    put: bytes
    sealed: bool

    def apply(self, data: bytearray) -> None:
        starts = header_blocks(data) or [0]
        start = starts[self.header % len(starts)]
        after = start + BLOCK
        match self.what:
            case "put":
                data[start + self.field : start + self.field + len(self.put)] = self.put
            case "payload":
                data[after + self.field : after + self.field + len(self.put)] = self.put
            case "cut":
                del data[start + self.field :]
            case "drop":
                del data[start:after]
            case "double":
                data[start:start] = data[start:after]
            case _:
                data[start:after], data[after : after + BLOCK] = data[after : after + BLOCK], data[start:after]
        if self.sealed and len(data) >= after:
            header = data[start:after]
            seal(header)
            data[start:after] = header


def header_blocks(data: bytes | bytearray) -> list[int]:
    """Tell where the blocks with a right checksum are."""
    found = []
    for at in range(0, len(data) - BLOCK + 1, BLOCK):
        with suppress(MalformedTarError):
            checked(bytes(data[at : at + BLOCK]))
            found.append(at)
    return found


CHANGES = st.lists(
    st.builds(
        Change,
        what=st.sampled_from(["put", "put", "put", "payload", "payload", "cut", "drop", "double", "swap"]),
        header=st.integers(0, 40),
        field=st.sampled_from(FIELDS) | st.integers(0, BLOCK),
        put=st.sampled_from(VALUES + WORDS) | st.binary(max_size=9),
        sealed=st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


def changed(stream: bytes, changes: list[Change]) -> bytes:
    data = bytearray(stream)
    for change in changes:
        change.apply(data)
    return bytes(data)


def codes_of(work: Callable[[], object], *expected: type[BackupError]) -> set[Code]:
    """Do the work and give the code it failed with, if it did; any other error comes through."""
    try:
        work()
    except expected as error:
        return {error.code}
    return set()


def bounded(calls: int = 200) -> Callable[[], None]:
    """Give what ends work that takes too many pieces, as a person who cancels would."""
    left = iter(range(calls))

    def keep_going() -> None:
        if next(left, None) is None:
            raise JobError(Code.CANCELLED, "enough")

    return keep_going


@settings(quick, max_examples=400)
@given(st.integers(0, 3), CHANGES, st.lists(st.integers(1, 9000), min_size=1, max_size=5))
def test_whatever_a_container_sends_the_archive_around_it_verifies(
    streams: Streams, which: int, changes: list[Change], sizes: list[int]
) -> None:
    stream = changed(streams.tars[which], changes)
    output = Output()
    keep_going = bounded()

    def body(writer: ArchiveWriter) -> list[PartResult]:
        relay = writer.relay(PREFIX)
        codes = codes_of(lambda: relay.copy(Feed(stream, sizes), keep_going), PartError)
        assert codes <= {Code.STREAM_MALFORMED}
        relay.close_cut(keep_going)
        return [result(CELL), result(VOLUME, relay.damaged, relay.files)]

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
        codes = codes_of(lambda: relay.copy(Feed(data, [size]), go_on), PartError)

        assert codes <= {Code.STREAM_MALFORMED}
        assert codes or not relay.whole
        assert not output.data


@settings(quick, max_examples=400)
@given(st.integers(0, 3), CHANGES)
def test_a_changed_tar_is_read_or_refused(streams: Streams, which: int, changes: list[Change]) -> None:
    packed = gzip.compress(changed(streams.tars[which], changes), 1)
    for read in (
        lambda: verify(BytesIO(packed), data_key=None, keep_going=bounded(10_000)),
        lambda: list_members(BytesIO(packed), data_key=None),
    ):
        codes_of(read, ArchiveError, JobError)


@settings(quick, max_examples=150)
@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=6))
def test_arbitrary_bytes_are_no_tar(pieces: list[bytes]) -> None:
    codes = codes_of(lambda: list(TarReader(iter(pieces)).members()), ArchiveError)

    assert codes & {Code.ARCHIVE_DAMAGED, Code.ARCHIVE_TRUNCATED}


@settings(quick, max_examples=300)
@given(
    st.integers(0, 1),
    st.lists(
        st.tuples(st.integers(0, 10**6), st.binary(min_size=0, max_size=3), st.integers(0, 40)), min_size=1, max_size=3
    ),
)
def test_an_archive_that_was_changed_is_refused_or_says_the_same(
    archives: Archives, which: int, edits: list[tuple[int, bytes, int]]
) -> None:
    data, key = archives.both[which]
    expected = verify(BytesIO(data), data_key=key)
    damaged = bytearray(data)
    for at, put, removed in edits:
        damaged[at % len(damaged) : at % len(damaged) + removed] = put
    with suppress(ArchiveError):
        assert verify(BytesIO(damaged), data_key=key) == expected


lines = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(quick, max_examples=300)
@given(st.binary(max_size=300) | lines.map(lambda value: json.dumps(value).encode()))
def test_any_first_line_is_an_envelope_or_refused(line: bytes) -> None:
    with pytest.raises(ArchiveError):
        parse_envelope(line)
    with pytest.raises(ArchiveError):
        read_envelope(BytesIO(line + b"\n"))


@settings(quick, max_examples=300)
@given(
    st.sampled_from(["format", "version", "id", "chunk", "slots", "kdf", "n", "r", "p", "salt", "key"]),
    lines | st.text() | st.integers(),
)
def test_a_first_line_with_any_value_in_any_place_opens_or_is_refused(place: str, value: object) -> None:
    line = json.loads(SAMPLE)
    (line if place in line else line["slots"][0])[place] = value

    codes_of(lambda: parse_envelope(json.dumps(line)).open(PASSPHRASE), ArchiveError)


SAMPLE = small_lock().envelope.to_line()


@settings(quick, max_examples=200)
@given(st.binary(max_size=200) | lines.map(lambda value: json.dumps(value).encode()))
def test_any_document_is_refused(raw: bytes) -> None:
    for load in (load_header, load_manifest):
        with pytest.raises(ArchiveError):
            load(raw)
