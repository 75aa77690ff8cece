"""Checksum lines are compared alike, however they are cut into pieces."""

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive.comparing import compare
from app.archive.sums import SumsSpool, line
from app.errors import ArchiveError, Code

PATHS = st.lists(st.sampled_from([b"a", b"b", b"a longer name", b"odd\nname\\"]), max_size=6)


def lines(paths: list[bytes], *, wrong: int | None = None) -> list[bytes]:
    return [line(("1" if at == wrong else "0") * 64, path) for at, path in enumerate(paths)]


def compared(ours: list[bytes], listed: bytes, size: int) -> list[str]:
    with closing(SumsSpool(None)) as sums:
        for entry in ours:
            sums.add(entry)
        return compare(sums, (memoryview(listed)[at : at + size] for at in range(0, len(listed), size)))


@given(PATHS, st.sets(st.integers(0, 5)), st.integers(1, 200))
def test_members_without_a_line_are_named(paths: list[bytes], unlisted: set[int], size: int) -> None:
    numbered = [b"%d %s" % (at, path) for at, path in enumerate(paths)]
    ours = lines(numbered)
    listed = b"".join(entry for at, entry in enumerate(ours) if at not in unlisted)
    assert compared(ours, listed, size) == [path.decode() for at, path in enumerate(numbered) if at in unlisted]


@given(PATHS.filter(bool), st.data(), st.integers(1, 200))
def test_a_wrong_line_is_named(paths: list[bytes], data: st.DataObject, size: int) -> None:
    wrong = data.draw(st.integers(0, len(paths) - 1))
    numbered = [b"%d %s" % (at, path) for at, path in enumerate(paths)]
    with pytest.raises(ArchiveError) as caught:
        compared(lines(numbered), b"".join(lines(numbered, wrong=wrong)), size)
    assert caught.value.code == Code.ARCHIVE_DAMAGED
    assert caught.value.message.startswith(f"{wrong} ")


def test_a_line_more_or_a_line_cut_is_damage() -> None:
    ours = lines([b"a", b"b"])
    for listed in ([*ours, ours[0]], [ours[0], ours[1][:-2]], [ours[0] + b"\n", ours[1]]):
        with pytest.raises(ArchiveError):
            compared(ours, b"".join(listed), 50)
