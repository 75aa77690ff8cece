"""Patterns for what a volume leaves out: GNU tar, asked for the same, is the judge."""

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from app.archive import headers
from app.archive.headers import END_OF_ARCHIVE, Member
from app.archive.patterns import Excluder, swallows_root
from tests.support.tars import listing
from tests.unit.archive.support import PREFIX, file_member, members, relay

PARTS = ["a", "b", "ab", "abc", "x.tmp", ".hidden", "tmp", "A", "a b", "[a]", "*", "^"]
paths = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join)
pieces = st.sampled_from(
    ["a", "b", "ab", "x", ".tmp", "tmp", "*", "?", "[ab]", "[!a]", "[a-c]", "[^a]", "\\*", "\\a", "\\[", ".", "A", " "]
)
patterns = (
    st.lists(st.lists(pieces, min_size=1, max_size=3).map("".join), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda pattern: not set(pattern.split("/")) & {".", ".."})
)


def left_by_gnu_tar(names: list[str], exclude: list[str]) -> set[bytes]:
    """Tell which of the names GNU tar does not leave out."""
    tar = b"".join(headers.encode(Member(b"./" + name.encode())) for name in names) + END_OF_ARCHIVE
    flags = ["--no-wildcards-match-slash", *(f"--exclude={pattern}" for pattern in exclude)]
    lines = [re.sub(rb"^.*? \./", b"", line) for line in listing(tar, *flags)]
    return {line.replace(b"\\ ", b" ").replace(b"\\\\", b"\\") for line in lines}


@settings(max_examples=120, deadline=None)
@given(st.lists(paths, min_size=1, max_size=12, unique=True), st.lists(patterns, min_size=1, max_size=3))
@example(["a/b/c", "b/c", "c/b", "x/a/b/y"], ["a/b"])
@example(["tmp", "a/tmp/b", "tmp2"], ["tmp"])
def test_a_path_is_left_out_where_gnu_tar_leaves_it_out(names: list[str], exclude: list[str]) -> None:
    # GNU tar takes such a pattern for the root itself and writes nothing; the next test says what it means here
    assume(not any(swallows_root(pattern) for pattern in exclude))
    excluder = Excluder(exclude)

    kept = {name.encode() for name in names if not excluder.matches(name.encode())}

    assert kept == left_by_gnu_tar(names, exclude)


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        (".*", {b"a", b"abc", b"b", b"abc/d"}),
        ("[.]*", {b"a", b"abc", b"b", b"abc/d"}),
        ("?", {b".hidden", b"abc", b"abc/.x"}),
        ("[!a]*", {b"a", b"abc"}),
        ("*", set()),
    ],
)
def test_a_pattern_that_matches_the_root_leaves_out_only_what_it_matches_below(pattern: str, kept: set[bytes]) -> None:
    names = [b".hidden", b"a", b"abc", b"b", b"abc/.x", b"abc/d"]
    assert swallows_root(pattern)
    assert {name for name in names if not Excluder([pattern]).matches(name)} == kept


@pytest.mark.parametrize("pattern", ["*.tmp", "./*.tmp", "cache", "cache/", "a/*.tmp", "[!a]*", "??"])
def test_the_relay_leaves_out_what_matches(pattern: str) -> None:
    names = [b"keep", b"x.tmp", b"a/x.tmp", b"cache/f", b"a/cache/g", b"ab", b"\xff.tmp"]
    stream = b"".join(file_member(b"./" + name, name) for name in names) + END_OF_ARCHIVE
    kept = [name for name in names if not Excluder([pattern]).matches(name)]

    for size in (100, 1 << 20):
        result = relay(stream, [size], exclude=[pattern])

        assert [member.name for member in members(result.tar)] == [PREFIX.encode() + name for name in kept]
        assert result.whole
        assert result.files == len(kept) == result.sums.count(b"\n") < len(names)
        assert result.bytes == sum(map(len, kept))


def test_a_name_that_is_not_utf_8_is_matched() -> None:
    assert Excluder(["*.tmp"]).matches(b"a/\xff\xfe.tmp")
    assert not Excluder(["*.tmp"]).matches(b"a/\xff\xfe.tmp2")


def test_no_pattern_leaves_nothing_out() -> None:
    assert not Excluder([]).matches(b"anything")


def test_the_volume_itself_is_never_left_out() -> None:
    stream = headers.encode(Member(b"./", kind=headers.DIRECTORY)) + file_member(b"./x", b"1") + END_OF_ARCHIVE

    assert [member.name for member in members(relay(stream, exclude=["*"]).tar)] == [PREFIX.encode()]


def test_a_hard_link_to_what_is_left_out_is_left_out_with_a_warning() -> None:
    link = headers.encode(Member(b"./keep", kind=headers.HARD_LINK, link=b"./x.tmp"))
    result = relay(file_member(b"./x.tmp", b"1") + link + file_member(b"./y", b"2") + END_OF_ARCHIVE, exclude=["*.tmp"])

    assert result.warnings == ("keep is left out: it is a hard link to an excluded file",)
    assert [member.name for member in members(result.tar)] == [PREFIX.encode() + b"y"]


def test_a_cut_inside_a_member_that_is_left_out_damages_nothing() -> None:
    stream = file_member(b"./keep", b"k") + file_member(b"./x.tmp", b"x" * 5000)

    result = relay(stream[:3000], exclude=["*.tmp"])

    assert (result.damaged, result.whole) == ((), False)
    assert [member.name for member in members(result.tar)] == [PREFIX.encode() + b"keep"]
