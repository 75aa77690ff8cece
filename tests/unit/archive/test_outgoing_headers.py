"""What each dialect is told of a member, and that the short way says the same as the long one."""

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive import headers
from app.archive.dialect_headers import leads_out, plain_headers
from app.archive.dialects import Dialect
from app.archive.headers import END_OF_ARCHIVE, Member
from app.archive.outgoing import VolumeReader
from app.archive.relay import Meter
from app.errors import ArchiveError, Code
from tests.support.tars import extract, tar_of
from tests.unit.archive.archives import VOLUME
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import block, file_member, go_on, members, pax, relay
from tests.unit.archive.volumes import reader_of, take

INSIDE = VOLUME.prefix.encode()
GIB = 1 << 30
# shorter than a header, so that no member is ever at hand for the short way
NEVER_WHOLE = 511

parts = st.binary(min_size=1, max_size=90).map(lambda part: part.translate(bytes.maketrans(b"/.\0", b"___")))
files = st.builds(
    Member,
    name=st.lists(parts, min_size=1, max_size=4).map(lambda found: INSIDE + b"/".join(found)),
    size=st.integers(0, 1100),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 3000),
    mtime=st.integers(-(2**40), 2**34 * 10**9) | st.integers(0, 2**33).map((10**9).__mul__),
    records=st.sampled_from([{}, {}, {b"SCHILY.xattr.user.x": b"\0\n"}, {b"comment": b"path=y"}]),
)


def contents(size: int) -> bytes:
    return (b"0123456789" * (size // 10 + 1))[:size] + bytes(headers.padding(size))


def plainly(member: Member) -> Member:
    """Leave out the records that only say what the member says anyway."""
    told = {b"path", b"mtime", b"uid", b"gid", b"size"}
    return replace(member, records={key: value for key, value in member.records.items() if key not in told})


def expected(member: Member, dialect: Dialect) -> Member:
    back = replace(member, name=b"./" + member.name[len(INSIDE) :])
    if dialect is Dialect.GNU:
        return replace(back, records={}, mtime=member.mtime // 10**9 * 10**9)
    return back


@pytest.mark.parametrize("dialect", list(Dialect))
@given(given_=st.lists(files, min_size=1, max_size=5))
def test_the_short_way_and_the_long_way_say_the_same(given_: list[Member], dialect: Dialect) -> None:
    tar = b"".join(headers.encode(member) + contents(member.size) for member in given_) + END_OF_ARCHIVE

    short, long = take(tar, dialect).tar, take(tar, dialect, size=NEVER_WHOLE).tar

    for out in (short, long):
        assert [plainly(member) for member in members(out)] == [expected(member, dialect) for member in given_]
        with tarfile.open(fileobj=io.BytesIO(out)) as opened:
            for info, member in zip(opened, given_, strict=True):
                file = opened.extractfile(info)
                assert file is not None
                assert file.read() == contents(member.size)[: member.size]


def test_a_stream_for_busybox_has_nothing_that_busybox_skips(everything_as_pax: bytes) -> None:
    for size in (NEVER_WHOLE, 1 << 20):
        out = take(everything_as_pax, Dialect.GNU, size=size).tar
        kinds = {raw[156:157] for raw in raw_headers(out)}
        assert kinds & {b"x", b"g", b"S"} == set()
        assert {b"L", b"K", b"0", b"1", b"2", b"5", b"6"} <= kinds


def test_a_stream_for_the_engine_has_nothing_that_the_engine_refuses(everything: Built) -> None:
    old_kinds = b"".join(block(b"./old-" + kind, kind=kind) for kind in (b"7", b"\0"))
    tar = relay(old_kinds + tar_of(everything.root, "--format=gnu", "--sparse")).tar

    for size in (NEVER_WHOLE, 1 << 20):
        out = take(tar, Dialect.GO, size=size).tar
        assert {raw[156:157] for raw in raw_headers(out)} == {b"x", b"0", b"1", b"2", b"5", b"6"}


def test_long_names_and_links_in_members_of_their_own_are_known() -> None:
    link = Member(INSIDE + b"n" * 200, kind=headers.SYMLINK, link=b"t" * 200)
    hard = Member(INSIDE + b"h" * 200, kind=headers.HARD_LINK, link=link.name)
    tar = plain_headers(link, Dialect.GNU) + plain_headers(hard, Dialect.GNU) + END_OF_ARCHIVE

    for dialect in Dialect:
        found = [(member.name, member.link) for member in members(take(tar, dialect).tar)]
        assert found == [(b"./" + b"n" * 200, b"t" * 200), (b"./" + b"h" * 200, b"./" + b"n" * 200)]


@pytest.fixture(scope="session")
def everything_as_pax(everything: Built) -> bytes:
    return relay(everything.tar).tar


def raw_headers(tar: bytes) -> Iterator[bytes]:
    at = 0
    while tar[at] != 0:
        raw = tar[at : at + 512]
        yield raw
        size = headers.number(raw[124:136])
        at += 512 + size + headers.padding(size)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_file_of_more_than_8_gib_keeps_its_size(dialect: Dialect) -> None:
    size = 9 * GIB
    mebibyte = bytes(1 << 20)

    def archive() -> Iterator[bytes]:
        yield headers.encode(Member(INSIDE + b"large", size=size))
        for _ in range(size >> 20):
            yield mebibyte
        yield END_OF_ARCHIVE

    pieces = VolumeReader(archive(), meter=Meter(), keep_going=go_on).volume(VOLUME.prefix, dialect)

    first = next(pieces)
    with tarfile.open(fileobj=io.BytesIO(first[:4096]), mode="r:") as opened:
        assert opened.next().size == size  # type: ignore[union-attr] # it has one member
    head = (1 if dialect is Dialect.GNU else 3) * 512
    assert len(first) + sum(map(len, pieces)) == head + size + 1024


def sparse_of_9_gib() -> bytes:
    data = b"1\n%d\n5\n" % (9 * GIB - 5)
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"%d" % (9 * GIB)}
    head = pax({**records, b"GNU.sparse.name": INSIDE + b"holes"})
    body = data.ljust(512, b"\0") + b"hello".ljust(512, b"\0")
    return head + block(INSIDE + b"holes", size=b"%011o" % 517) + body + END_OF_ARCHIVE


def test_a_sparse_file_of_more_than_8_gib_stays_sparse_by_gnu_tar(tmp_path: Path) -> None:
    extract(take(sparse_of_9_gib()).tar, tmp_path)

    status = (tmp_path / "holes").stat()
    assert (status.st_size, status.st_blocks < 100) == (9 * GIB, True)
    with (tmp_path / "holes").open("rb") as file:
        file.seek(-6, os.SEEK_END)
        assert file.read() == b"\0hello"


def test_a_sparse_file_of_more_than_8_gib_is_written_out_for_busybox() -> None:
    length, tail = 0, b""
    for piece in reader_of(sparse_of_9_gib()).volume(VOLUME.prefix, Dialect.GNU):
        length += len(piece)
        tail = tail[-2000:] + bytes(piece[-2000:])

    assert length == 512 + 9 * GIB + 1024
    assert tail.endswith(b"\0hello" + END_OF_ARCHIVE)


def test_a_sparse_member_that_is_damaged_keeps_its_size_and_is_named() -> None:
    records = {b"GNU.sparse.size": b"5000", b"GNU.sparse.numblocks": b"1", b"GNU.sparse.map": b"10,5"}
    tar = pax(records) + file_member(INSIDE + b"file", b"longer than its map") + END_OF_ARCHIVE

    taken = take(tar, Dialect.GNU)

    assert [member.size for member in members(taken.tar)] == [5000]
    assert len(taken.warnings) == 1
    assert taken.warnings[0].startswith(VOLUME.prefix + "file has zeros")


def test_numbers_that_no_file_can_have_are_refused() -> None:
    for head in (
        pax({b"uid": b"%d" % 2**32}) + block(INSIDE + b"x"),
        block(INSIDE + b"x", gid=b"\x81" + bytes(7)),
        block(INSIDE + b"x", mtime=b"\x81" + bytes(11)),
        pax({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"9" * 19}) + block(INSIDE + b"x", kind=b"0"),
    ):
        with pytest.raises(ArchiveError) as caught:
            take(head + END_OF_ARCHIVE, Dialect.GNU)
        assert caught.value.code is Code.ARCHIVE_DAMAGED


def test_an_owner_that_some_tars_call_minus_2_keeps_its_32_bits() -> None:
    for dialect in (Dialect.GNU, Dialect.GO):
        [member] = members(take(block(INSIDE + b"x", uid=b"\xff" * 7 + b"\xfe") + END_OF_ARCHIVE, dialect).tar)
        assert member.uid == 2**32 - 2


@pytest.mark.parametrize(
    ("name", "link", "leaves"),
    [
        (b"./a", b"b", False),
        (b"./a", b"..", True),
        (b"./d/a", b"..", False),
        (b"./d/a", b"./..//x/../..", True),
        (b"./d/a", b"../..", True),
        (b"./d/e/a", b"../../b", False),
        (b"./a", b"b/../c", False),
        (b"./a", b"b/../../c", True),
        (b"./a", b"/etc/passwd", False),
        (b"./a", b"..b", False),
    ],
)
def test_symlinks_that_leave_the_volume_are_known(name: bytes, link: bytes, *, leaves: bool) -> None:
    assert leads_out(name, link) is leaves
