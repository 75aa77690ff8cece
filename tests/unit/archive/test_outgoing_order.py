"""Which members come out of an archive, in which call; what is wrong with one, and what a caller may do half-way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.archive import headers
from app.archive.dialects import Dialect
from app.archive.headers import END_OF_ARCHIVE, Member
from app.archive.outgoing import VolumeReader
from app.archive.relay import Meter
from app.errors import ArchiveError, BackupError, Code, JobError
from tests.support.tars import SERVICE_FLAGS, tar_of
from tests.unit.archive.archives import VOLUME
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import block, file_member, members, pax, relay
from tests.unit.archive.volumes import FILES, NOTES, archive_of, in_pieces, reader_of, take

EMPTY = bytes(10240)
INSIDE = VOLUME.prefix.encode()


def names(tar: bytes) -> list[bytes]:
    return [member.name for member in members(tar)]


def simple(*files: bytes) -> bytes:
    return b"".join(file_member(b"./" + name, b"in " + name) for name in files) + END_OF_ARCHIVE


def hard_link(name: bytes, target: bytes) -> bytes:
    return headers.encode(Member(b"./" + name, kind=headers.HARD_LINK, link=b"./" + target))


def test_volumes_come_out_one_after_another() -> None:
    reader = reader_of(archive_of({VOLUME: simple(b"a", b"b"), NOTES: simple(b"c"), FILES: simple(b"d", b"e")}))

    found = [names(b"".join(reader.volume(part.prefix, Dialect.PAX))) for part in (VOLUME, NOTES, FILES)]

    assert found == [[b"./a", b"./b"], [b"./c"], [b"./d", b"./e"]]


@pytest.mark.parametrize("part", [VOLUME, NOTES, FILES])
def test_a_volume_that_is_not_asked_for_is_skipped(part: object) -> None:
    streams = {VOLUME: simple(b"a", b"b"), NOTES: simple(b"c"), FILES: simple(b"d", b"e")}
    reader = reader_of(archive_of(streams))

    wanted = [other for other in streams if other is not part]

    for other in wanted:
        assert b"".join(reader.volume(other.prefix, Dialect.PAX)) == streams[other]


def test_a_volume_without_members_is_an_end_of_archive_and_takes_nothing_from_the_next() -> None:
    reader = reader_of(archive_of({VOLUME: EMPTY, NOTES: simple(b"c"), FILES: EMPTY}))

    assert b"".join(reader.volume(VOLUME.prefix, Dialect.PAX)) == END_OF_ARCHIVE
    assert names(b"".join(reader.volume(NOTES.prefix, Dialect.PAX))) == [b"./c"]
    assert b"".join(reader.volume(FILES.prefix, Dialect.PAX)) == END_OF_ARCHIVE


def test_an_empty_directory_comes_out_as_one(tmp_path: Path) -> None:
    archive = archive_of({VOLUME: tar_of(tmp_path, *SERVICE_FLAGS)})

    for dialect in Dialect:
        [member] = members(take(archive, dialect).tar)
        assert (member.name, member.kind, member.mode) == (b"./", headers.DIRECTORY, tmp_path.stat().st_mode & 0o7777)


def test_a_volume_is_never_given_twice_nor_one_that_the_archive_does_not_have() -> None:
    archive = archive_of({VOLUME: simple(b"a"), NOTES: simple(b"c")})
    reader = reader_of(archive)
    list(reader.volume(NOTES.prefix, Dialect.PAX))

    for part in (NOTES, VOLUME, FILES):
        with pytest.raises(JobError) as caught:
            list(reader.volume(part.prefix, Dialect.PAX))
        assert caught.value.code is Code.INTERNAL


def test_an_archive_without_a_header_gives_its_volumes_too() -> None:
    tar = relay(simple(b"a")).tar

    assert names(take(tar).tar) == [b"./a"]
    assert take(tar, part=NOTES).tar == END_OF_ARCHIVE


def test_names_with_a_leading_dot_belong_to_the_volume_too() -> None:
    tar = (
        block(b"./" + VOLUME.prefix.encode()[:-1], kind=b"5")
        + file_member(b"./" + VOLUME.prefix.encode() + b"x", b"1")
        + END_OF_ARCHIVE
    )

    assert names(take(tar).tar) == [b"./", b"./x"]


@pytest.mark.parametrize("size", [512, 1 << 20])
def test_the_next_volume_is_whole_where_one_was_given_up(everything: Built, size: int) -> None:
    archive = archive_of({VOLUME: everything.tar, NOTES: simple(b"c", b"d")})
    total = len(list(reader_of(archive, size).volume(VOLUME.prefix, Dialect.GNU)))

    for steps in {0, 1, 2, 3, total // 2, total - 1}:
        reader = reader_of(archive, size)
        given_up = reader.volume(VOLUME.prefix, Dialect.GNU)
        for _ in range(steps):
            next(given_up)
        assert b"".join(reader.volume(NOTES.prefix, Dialect.PAX)) == simple(b"c", b"d")


@pytest.mark.parametrize("dialect", list(Dialect))
def test_what_is_left_out_takes_its_hard_links_with_it(dialect: Dialect) -> None:
    stream = (
        file_member(b"./kept", b"k")
        + file_member(b"./bad\xff", b"b")
        + hard_link(b"second", b"bad\xff")
        + hard_link(b"third", b"second")
        + hard_link(b"other", b"kept")
        + END_OF_ARCHIVE
    )
    reader = reader_of(archive_of({VOLUME: stream, NOTES: stream}))

    out = b"".join(reader.volume(VOLUME.prefix, dialect, leave_out=[f"{VOLUME.prefix}bad\\xff"]))

    assert names(out) == [b"./kept", b"./other"]
    assert reader.left_out == [f"{VOLUME.prefix}{name}" for name in ("bad\\xff", "second", "third")]
    assert len(names(b"".join(reader.volume(NOTES.prefix, dialect)))) == 5


def test_what_passes_is_counted(small: Built) -> None:
    meter = Meter()
    tar = archive_of({VOLUME: small.tar})
    reader = VolumeReader(iter(in_pieces(tar, 1 << 20)), meter=meter, keep_going=lambda: None)

    list(reader.volume(VOLUME.prefix, Dialect.PAX))

    assert meter.files == 4
    assert meter.bytes == sum(member.size for member in members(small.tar))
    assert meter.current.startswith(VOLUME.prefix)


def test_a_job_that_is_cancelled_ends_between_two_pieces_and_within_a_hole() -> None:
    class CancelledError(Exception):
        pass

    calls = 0

    def cancel_at_third() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise CancelledError

    tar = archive_of({VOLUME: file_member(b"./x", bytes(5 << 20)) + END_OF_ARCHIVE})
    reader = VolumeReader(iter(in_pieces(tar, 1 << 20)), meter=Meter(), keep_going=cancel_at_third)
    with pytest.raises(CancelledError):
        list(reader.volume(VOLUME.prefix, Dialect.PAX))

    calls = 0
    records = {b"GNU.sparse.size": b"%d" % (1 << 40), b"GNU.sparse.numblocks": b"1", b"GNU.sparse.map": b"0,0"}
    tar = pax(records) + block(INSIDE + b"x") + END_OF_ARCHIVE
    reader = VolumeReader(iter([tar]), meter=Meter(), keep_going=cancel_at_third)
    with pytest.raises(CancelledError):
        for _ in reader.volume(VOLUME.prefix, Dialect.GNU):
            pass


GOOD = file_member(INSIDE + b"a", b"1")
FAULTS = [
    pytest.param(GOOD + b"\xff" * 512, id="a wrong checksum"),
    pytest.param(GOOD + bytes(512) + GOOD, id="one block of zeros"),
    pytest.param(GOOD + pax({b"a": b"b"}, kind=b"g") + GOOD, id="a global header"),
    pytest.param(GOOD + block(INSIDE + b"b", kind=b"9"), id="an unknown type"),
    pytest.param(GOOD + block(INSIDE + b"b", size=b"-1"), id="a number that is none"),
    pytest.param(GOOD + pax(raw=b"x" * 30) + GOOD, id="a record without a length"),
    pytest.param(GOOD + pax(raw=b"6 a=b") + GOOD, id="a record that is cut"),
    pytest.param(GOOD + block(INSIDE + b"b", kind=b"1", link=b"services/notes/notes/x"), id="a link out of it"),
    pytest.param(GOOD + block(INSIDE + b"../b"), id="a name that leaves it"),
]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("tar", FAULTS)
def test_a_malformed_stream_is_refused(tar: bytes, dialect: Dialect) -> None:
    with pytest.raises(ArchiveError) as caught:
        take(tar, dialect)
    assert caught.value.code is Code.ARCHIVE_DAMAGED


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_stream_that_is_cut_is_refused_wherever_it_is_cut(small: Built, dialect: Dialect) -> None:
    tar = relay(small.tar).tar

    for end in range(0, len(tar) - 512, 512):
        for cut in (end, end + 100):
            with pytest.raises(ArchiveError) as caught:
                take(tar[:cut], dialect)
            assert caught.value.code is Code.ARCHIVE_TRUNCATED


def test_a_reader_that_fails_is_heard() -> None:
    def failing() -> Iterator[bytes]:
        yield archive_of({VOLUME: simple(b"a")})[:3000]
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "The archive's file changed.")

    with pytest.raises(BackupError, match="changed"):
        list(VolumeReader(failing(), meter=Meter(), keep_going=lambda: None).volume(VOLUME.prefix, Dialect.PAX))


def test_a_member_without_its_folder_is_refused_where_a_link_may_stand_in_the_volume() -> None:
    folder = headers.encode(Member(INSIDE + b"d/", headers.DIRECTORY))
    good = folder + file_member(INSIDE + b"d/x", b"1") + GOOD + END_OF_ARCHIVE
    reader = reader_of(good)
    assert len(members(b"".join(reader.volume(VOLUME.prefix, Dialect.PAX, parents=True)))) == 3
    assert reader.files == 2

    for dialect in Dialect:
        wrong = GOOD + file_member(INSIDE + b"d/x", b"1") + folder + END_OF_ARCHIVE
        assert len(members(b"".join(reader_of(wrong).volume(VOLUME.prefix, dialect)))) == 3
        with pytest.raises(ArchiveError) as caught:
            list(reader_of(wrong).volume(VOLUME.prefix, dialect, parents=True))
        assert caught.value.code is Code.ARCHIVE_HOSTILE
        assert "d/x" in caught.value.message
