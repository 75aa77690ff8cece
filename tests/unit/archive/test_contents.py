"""Listing what is in an archive."""

import gzip
import os
from datetime import UTC, datetime
from io import BytesIO

import pytest

from app.archive import headers
from app.archive.contents import list_members
from app.archive.headers import END_OF_ARCHIVE, Member
from app.errors import ArchiveError, Code
from tests.support.tars import tar_of
from tests.unit.archive.archives import archive_of_volume, small_lock
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import PREFIX, block, file_member, pax


def packed(*members: Member) -> BytesIO:
    return BytesIO(gzip.compress(b"".join(headers.encode(member) for member in members) + END_OF_ARCHIVE, 1))


def test_every_fact_is_told() -> None:
    (told,) = list_members(
        packed(
            Member(b"a/\xff", headers.SYMLINK, mode=0o4755, uid=7, gid=8, mtime=1_700_000_000_500_000_000, link=b"\xfe")
        ),
        data_key=None,
    )

    assert (told.path, told.kind, told.size, told.mode) == ("a/\\xff", "symlink", 0, "4755")
    assert (told.uid, told.gid, told.link) == (7, 8, "\\xfe")
    assert told.mtime == datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)


FILES = [(kind, "file") for kind in (b"0", b"\0", b"7", b"S")]
OTHERS = [(b"1", "hardlink"), (b"2", "symlink"), (b"3", "char-device"), (b"4", "block-device"), (b"5", "directory")]


@pytest.mark.parametrize(("kind", "word"), [*FILES, *OTHERS, (b"6", "fifo"), (b"Z", "other")])
def test_every_kind_has_a_word(kind: bytes, word: str) -> None:
    magic = b"ustar  \0" if kind == b"S" else b"ustar\x0000"
    (told,) = list_members(BytesIO(gzip.compress(block(kind=kind, magic=magic) + END_OF_ARCHIVE)), data_key=None)

    assert told.kind == word


def test_times_outside_the_calendar_become_its_ends() -> None:
    past, future = list_members(packed(Member(b"p", mtime=-(10**20)), Member(b"f", mtime=10**21)), data_key=None)

    assert (past.mtime.year, future.mtime.year) == (1, 9999)


def test_a_part_of_the_list_is_given() -> None:
    file = packed(*(Member(b"%s/%02d" % (folder, n)) for folder in (b"a", b"b") for n in range(20)))

    def paths(prefix: str = "", offset: int = 0, limit: int = 1000) -> list[str]:
        file.seek(0)
        found = list_members(file, data_key=None, prefix=prefix, offset=offset, limit=limit)
        return [told.path for told in found]

    assert len(paths()) == 40
    assert paths("b/", 3, 2) == ["b/03", "b/04"]
    assert paths("c/") == []
    assert paths(offset=39) == ["b/19"]
    assert paths(limit=0) == []


@pytest.mark.parametrize("flags", [("--format=gnu", "--sparse"), ("--sparse-version=0.1",), ("--sparse-version=1.0",)])
def test_the_size_of_a_sparse_file_is_that_of_its_contents(small: Built, flags: tuple[str, ...]) -> None:
    data = gzip.compress(tar_of(small.root, *flags), 1)
    sizes = {told.path: told.size for told in list_members(BytesIO(data), data_key=None)}

    assert sizes["./sparse"] == 1 << 20
    assert sizes["./folder/file"] == 630


def test_an_encrypted_archive_is_listed_with_its_key(small: Built) -> None:
    lock = small_lock()
    data = archive_of_volume(small.tar, lock=lock)

    told = list_members(BytesIO(data), data_key=lock.data_key, prefix=PREFIX)
    assert len(told) == len(small.tree)
    with pytest.raises(ArchiveError) as caught:
        list_members(BytesIO(data), data_key=None)
    assert caught.value.code == Code.PASSPHRASE_REQUIRED


@pytest.mark.parametrize("records", [{b"GNU.sparse.realsize": b"much"}, {b"mtime": b"now"}, {b"size": b"-1"}], ids=str)
def test_a_malformed_member_is_damage(records: dict[bytes, bytes]) -> None:
    data = gzip.compress(file_member(b"a", b"1") + pax(records) + block() + END_OF_ARCHIVE)
    with pytest.raises(ArchiveError) as caught:
        list_members(BytesIO(data), data_key=None)

    assert caught.value.code == Code.ARCHIVE_DAMAGED


def test_what_is_behind_the_wanted_part_is_not_read() -> None:
    data = archive_of_volume(file_member(b"./first", b"") + file_member(b"./large", os.urandom(8 << 20)))
    file = BytesIO(data[: 6 << 20])

    assert [told.path for told in list_members(file, data_key=None, prefix=PREFIX, limit=1)] == [PREFIX + "first"]
    assert file.tell() <= 4 << 20
