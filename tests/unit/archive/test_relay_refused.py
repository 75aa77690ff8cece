"""What a container sends and no restore would take is left out of the archive, so that the rest of it restores."""

import pytest

from app.archive.headers import DIRECTORY, END_OF_ARCHIVE, HARD_LINK, SYMLINK, Member, encode
from app.archive.verify import verify
from tests.unit.archive.archives import archive_of_volume
from tests.unit.archive.support import PREFIX, block, file_member, members, opened, relay


def sent(*stream: bytes | Member) -> bytes:
    return b"".join(item if isinstance(item, bytes) else encode(item) for item in stream) + END_OF_ARCHIVE


LONG = block(b"L", kind=b"L", size=b"%011o" % 258) + (b"./" + b"n" * 256).ljust(512, b"\0")


@pytest.mark.parametrize("size", [1, 700, 1 << 30])
@pytest.mark.parametrize(
    ("stream", "left_out"),
    [
        ([LONG + file_member(b"./x", b"1")], [b"n" * 100]),
        ([Member(b"./null", ord("3"))], [b"null"]),
        ([Member(b"./disk", ord("4")), Member(b"./disk2", HARD_LINK, link=b"./disk")], [b"disk", b"disk2"]),
        ([file_member(b"./a", b"first"), file_member(b"./a", b"second")], [b"a"]),
        ([file_member(b"./a", b"1"), Member(b"./a", DIRECTORY), file_member(b"./a/b", b"2")], [b"a", b"a/b"]),
        (
            [Member(b"./l", SYMLINK, link=b"/"), file_member(b"./l/x", b"1"), file_member(b"./l/y", b"2")],
            [b"l/x", b"l/y"],
        ),
        ([Member(b"./h", HARD_LINK, link=b"./h")], [b"h"]),
        ([Member(b"./s", SYMLINK)], [b"s"]),
        ([file_member(b"./" + b"n" * 256, b"1")], [b"n" * 100]),
    ],
    ids=[
        "gnu long",
        "device",
        "device of two names",
        "twice",
        "file and folder",
        "below a link",
        "itself",
        "no target",
        "long",
    ],
)
def test_it_is_left_out_by_name_and_the_archive_verifies(
    stream: list[bytes | Member], left_out: list[bytes], size: int
) -> None:
    tar = sent(file_member(b"./before", b"x" * 1000), *stream, file_member(b"./after", b"y" * 1000))
    result = relay(tar, [size])

    names = [member.name.removeprefix(PREFIX.encode()) for member in members(result.tar)]
    assert len(names) == 2 + len(stream) - len(left_out)
    assert {b"before", b"after"} < {*names, b""}
    assert all(PREFIX + name.decode() in warning for name, warning in zip(left_out, result.warnings, strict=True))
    assert (result.whole, result.damaged, result.error) == (True, (), None)
    assert result.sums.count(b"\n") == result.files
    assert verify(opened(archive_of_volume(tar)), data_key=None).files == result.files


def test_the_first_of_two_stays() -> None:
    result = relay(sent(file_member(b"./a", b"first"), file_member(b"./a", b"second")))

    assert b"first" in result.tar
    assert b"second" not in result.tar


def test_a_second_read_that_brings_a_file_again_does_no_harm() -> None:
    first = file_member(b"./a", b"1") + file_member(b"./b", b"2") + file_member(b"./c", b"x" * 3000)
    then = sent(file_member(b"./c", b"y"), file_member(b"./a", b"again"), file_member(b"./d", b"4"))
    result = relay(first[:-1000], then=then)

    assert [member.name[-1:] for member in members(result.tar)] == [b"a", b"b", b"c", b"d"]
    assert len(result.warnings) == 2


def test_warnings_have_an_end() -> None:
    result = relay(sent(*(Member(b"./n%d" % number, ord("3")) for number in range(3000))))

    assert len(result.warnings) == 1001
    assert members(result.tar) == []


def test_a_device_that_is_excluded_is_no_matter() -> None:
    assert relay(sent(Member(b"./null", ord("3"))), exclude=["null"]).warnings == ()
