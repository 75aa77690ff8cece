"""The relay on streams that are wrong: an error with a code, and all that came before is well formed."""

import pytest

from app.archive import headers
from app.archive.headers import BLOCK, END_OF_ARCHIVE, Member
from app.errors import Code
from tests.support.tars import listing
from tests.unit.archive.support import PREFIX, block, file_member, members, pax, relay

GOOD = file_member(b"./good", b"contents") + headers.encode(Member(b"./folder/", kind=headers.DIRECTORY))
LATER = file_member(b"./later", b"1") * 3
FILE_X = block(b"./x")


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """Make a GNU extended header that holds a name."""
    size = b"%011o" % len(name)
    return block(b"././@LongLink", kind=kind, size=size) + name + bytes(headers.padding(len(name)))


MALFORMED = {
    "garbage": b"\x55" * BLOCK,
    "text": b"tar: command not found\n".ljust(BLOCK),
    "wrong checksum": FILE_X[:148] + b"0000001\0" + FILE_X[156:],
    "checksum that is no number": FILE_X[:148] + b"zzzzzz\0 " + FILE_X[156:],
    "name that leaves the volume": block(b"./../x"),
    "name that leaves it at its end": block(b"./a/.."),
    "absolute name": block(b"/etc/passwd"),
    "absolute name behind a dot": block(b".//etc/passwd"),
    "no name": block(b""),
    "long name that leaves the volume": long_name(b"a/" * 100 + b"../" * 200 + b"x") + FILE_X,
    "PAX path that leaves the volume": pax({b"path": b"./../../x"}) + FILE_X,
    "PAX path that is absolute": pax({b"path": b"/x"}) + FILE_X,
    "PAX path with a NUL": pax({b"path": b"./a\0b"}) + FILE_X,
    "sparse name that leaves the volume": pax({b"GNU.sparse.name": b"../x", b"GNU.sparse.realsize": b"0"}) + FILE_X,
    "hard link that leaves the volume": block(kind=b"1", link=b"../../etc/passwd"),
    "hard link that is absolute": block(kind=b"1", link=b"/etc/passwd"),
    "long hard link that leaves the volume": long_name(b"./" + b"../" * 50, b"K") + block(kind=b"1"),
    "PAX hard link that leaves the volume": pax({b"linkpath": b"../x"}) + block(kind=b"1"),
    "hard link to nothing": block(kind=b"1"),
    "hard link to the volume": block(kind=b"1", link=b"./"),
    "file in place of the volume": block(b"."),
    "file in place of the volume, by two dots": block(b"./."),
    "file in place of the volume, by many dots": block(b"././/."),
    "symlink in place of the volume, by three dots": block(b"././.", kind=b"2", link=b"/etc"),
    "PAX path that is the volume": pax({b"path": b"././."}) + FILE_X,
    "symlink in place of the volume": block(b"./", kind=b"2", link=b"/etc"),
    "global PAX header": pax({b"mtime": b"1"}, kind=b"g") + FILE_X,
    "unknown type": block(kind=b"Z"),
    "multi-volume": block(kind=b"M"),
    "volume label": block(kind=b"V"),
    "size of 2^60": block(size=b"\x80\0\0\0" + (2**60).to_bytes(8, "big")),
    "PAX size of 2^60": pax({b"size": b"%d" % 2**60}) + FILE_X,
    "negative size": block(size=b"\xff" * 12),
    "size that is no number": block(size=b"12345678x9\0"),
    "mode that is no number": block(mode=b"rw-r--r-"),
    "owner that is no number": block(uid=b"root"),
    "group that is no number": block(gid=b"wheel"),
    "time that is no number": block(mtime=b"yesterday"),
    "PAX size that is no number": pax({b"size": b"ten"}) + FILE_X,
    "PAX owner that is no number": pax({b"uid": b"-1"}) + FILE_X,
    "PAX time that is no number": pax({b"mtime": b"now"}) + FILE_X,
    "PAX record without a length": pax(raw=b"path=./x\n") + FILE_X,
    "PAX record that is cut": pax(raw=b"99 comment=x\n") + FILE_X,
    "PAX record without an end, before a name that must be changed": pax(raw=b"13 comment=x")
    + block(b"./" + b"n" * 90),
    "PAX time whose length is wrong": pax(raw=b"99 mtime=1.5\n") + FILE_X,
    "PAX header without data": block(kind=b"x", size=b"0") + FILE_X,
    "PAX header of a gigabyte": block(kind=b"x", size=b"%011o" % (1 << 30)),
    "PAX headers without an end": pax({b"comment": b"c" * 400_000}) * 3,
    "directory with data": block(kind=b"5", size=b"%011o" % 5) + bytes(BLOCK),
    "symlink with data": block(kind=b"2", link=b"y", size=b"%011o" % 5) + bytes(BLOCK),
    "sparse map that is not in order": pax(
        {b"GNU.sparse.name": b"./s", b"GNU.sparse.size": b"100", b"GNU.sparse.map": b"50,10,0,10"}
    )
    + block(size=b"%011o" % 20)
    + bytes(BLOCK),
    "hole of an exabyte": pax({b"GNU.sparse.name": b"./s", b"GNU.sparse.size": b"1" + b"0" * 18}) + FILE_X,
    "something after the end": END_OF_ARCHIVE + FILE_X,
    "a byte after the end": END_OF_ARCHIVE + b"x",
    "something far behind the end": END_OF_ARCHIVE + bytes(9000) + b"x",
    "a single block of zeros": bytes(BLOCK) + FILE_X,
    "an extended header before the end": pax({b"comment": b"x"}) + END_OF_ARCHIVE,
}


@pytest.mark.parametrize("size", [1 << 20, 700], ids=["at once", "in pieces"])
@pytest.mark.parametrize("wrong", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_stream_is_refused_and_what_came_before_is_kept(wrong: bytes, size: int) -> None:
    result = relay(GOOD + wrong + LATER, [size])

    assert result.error is not None
    assert result.error.code == Code.STREAM_MALFORMED
    assert "./folder/" in result.error.message or "after" in result.error.message
    assert [member.name for member in members(result.tar)] == [PREFIX.encode() + name for name in (b"good", b"folder/")]
    assert len(listing(result.tar)) == 2
    assert result.sums.endswith(PREFIX.encode() + b"good\n")
    assert (result.files, result.damaged) == (1, ())


@pytest.mark.parametrize("wrong", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_stream_is_refused_from_its_first_member_on(wrong: bytes) -> None:
    result = relay(wrong)

    assert result.error is not None
    assert (result.error.code, result.tar, result.sums) == (Code.STREAM_MALFORMED, END_OF_ARCHIVE, b"")


def test_a_single_block_of_zeros_at_the_end_is_not_whole() -> None:
    assert not relay(GOOD + bytes(BLOCK)).whole
    assert not relay(GOOD + bytes(2 * BLOCK - 1)).whole
    assert relay(GOOD + bytes(2 * BLOCK)).whole


def test_a_stream_that_went_on_after_its_end_was_not_whole() -> None:
    result = relay(GOOD + END_OF_ARCHIVE + bytes(600) + b"x", [BLOCK])

    assert result.error is not None


def test_a_link_that_leaves_the_volume_is_a_link_like_any_other_if_it_is_symbolic() -> None:
    (member,) = members(relay(block(kind=b"2", link=b"../../etc/passwd") + END_OF_ARCHIVE).tar)

    assert (member.kind_name, member.link) == ("symlink", b"../../etc/passwd")


HARMLESS = [b"x", b"./x", b"././x", b"a/./x", b"./a//x", b"..x", b"./x..", b"a/...", b"./...", b"./a/.", b".hidden"]


@pytest.mark.parametrize("name", HARMLESS, ids=repr)
def test_harmless_names_pass(name: bytes) -> None:
    (member,) = members(relay(file_member(name, b"1") + END_OF_ARCHIVE).tar)

    assert member.name == PREFIX.encode() + name.removeprefix(b"./")


def test_sparse_data_that_does_not_fit_its_map_damages_that_file_only() -> None:
    records = {b"GNU.sparse.name": b"./s", b"GNU.sparse.size": b"100"}
    records |= {b"GNU.sparse.numblocks": b"1", b"GNU.sparse.map": b"0,10"}
    for size in (5, 50):
        wrong = pax(records) + block(size=b"%011o" % size) + b"d" * size + bytes(headers.padding(size))
        result = relay(wrong + GOOD + END_OF_ARCHIVE)

        assert (result.whole, result.error, result.damaged) == (True, None, (PREFIX + "s",))
        assert len(members(result.tar)) == 3
        assert result.sums.count(b"\n") == 1


def test_a_map_that_is_no_map_damages_that_file_only() -> None:
    records = {b"GNU.sparse.name": b"./s", b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"100"}
    for content in (b"x\n1\n", b"2\n0\n10\n", b"99999999\n", b"1\n90\n20\n", b"9" * 600):
        data = content.ljust(1024, b"\0")
        result = relay(pax(records) + block(size=b"%011o" % 1024) + data + GOOD + END_OF_ARCHIVE, [100])

        assert (result.whole, result.damaged) == (True, (PREFIX + "s",))
        assert result.sums.count(b"\n") == 1
