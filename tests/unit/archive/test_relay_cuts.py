"""The relay on streams that come in odd pieces, are cut anywhere, or are read a second time."""

import hashlib
import os
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from app.archive.headers import BLOCK
from app.archive.relay import Meter, TarRelay
from app.archive.sums import SumsSpool, line
from app.errors import Code, JobError, PartError
from tests.support.tars import check_sums, extract, listing, tar_of
from tests.support.trees import describe, differences, write_sparse
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import PREFIX, Feed, Output, Relayed, go_on, members, relay

MIB = 1 << 20


def cuts(stream: bytes) -> list[int]:
    """Give every block border and some places inside each block."""
    return [at + off for at in range(0, len(stream), BLOCK) for off in (0, 1, 156, 511) if at + off < len(stream)]


def sums_by_tarfile(tar: bytes) -> dict[str, bytes]:
    """Give the checksum lines that the regular files in a tar deserve, as Python reads it, by readable name."""
    lines = {}
    with tarfile.open(fileobj=BytesIO(tar), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            if info.isreg():
                content = archive.extractfile(info)
                assert content is not None
                path = os.fsencode(info.name)
                lines[path.decode("utf-8", "backslashreplace")] = line(hashlib.sha256(content.read()).hexdigest(), path)
    return lines


def assert_well_formed(result: Relayed) -> None:
    """Hold the output against GNU tar, tarfile and our own reader; every file is in the sums or named as damaged."""
    lines = sums_by_tarfile(result.tar)
    assert len(listing(result.tar)) == len(members(result.tar))
    assert set(result.damaged) <= lines.keys()
    assert b"".join(entry for path, entry in lines.items() if path not in result.damaged) == result.sums


@pytest.mark.parametrize("size", [511, 512, 513, 4095, 32768, MIB - 1, MIB, MIB + 1])
def test_pieces_of_any_size_give_the_same_archive(everything: Built, size: int) -> None:
    assert relay(everything.tar, [size]) == relay(everything.tar)


def test_single_bytes_give_the_same_archive(small: Built) -> None:
    assert relay(small.tar, [1]) == relay(small.tar)


class Small:
    """Hold a stream and what it is relayed to; both are too long for a report."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.relayed = relay(stream)


@pytest.fixture(scope="module")
def short(small: Built) -> Small:
    return Small(small.tar)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(100, 4000), min_size=1, max_size=20))
def test_uneven_pieces_give_the_same_archive(short: Small, sizes: list[int]) -> None:
    assert relay(short.stream, sizes) == short.relayed


def test_a_cut_anywhere_is_noticed_and_leaves_a_valid_archive(small: Built) -> None:
    full = relay(small.tar)
    names = [member.name for member in members(full.tar)]
    lines = full.sums.splitlines()
    end_of_members = len(small.tar) - 2 * BLOCK
    assert small.tar[end_of_members:] == bytes(2 * BLOCK)

    for cut in cuts(small.tar):
        result = relay(small.tar[:cut])

        assert not result.whole, cut
        assert result.error is None
        assert_well_formed(result)
        found = [member.name for member in members(result.tar)]
        assert found == names[: len(found)]
        assert result.sums.splitlines() == lines[: len(result.sums.splitlines())]
        if result.damaged:
            assert result.damaged == (found[-1].decode(),)
            assert found[-1] not in result.sums
    assert relay(small.tar).whole
    assert relay(small.tar + bytes(BLOCK * 20 + 7)).whole


def test_a_cut_inside_a_file_names_it_and_keeps_what_came(tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    (tmp_path / "large").write_bytes(content)
    stream = tar_of(tmp_path, "--format=posix")
    at = stream.index(content[:64]) + 2 * MIB + 5

    result = relay(stream[:at], [100_000])

    assert result.damaged == (PREFIX + "large",)
    assert result.sums == b""
    assert (result.whole, result.files, result.bytes) == (False, 1, len(content))
    kept = extract(result.tar, tmp_path / "out") / PREFIX / "large"
    assert kept.read_bytes() == content[: 2 * MIB + 5] + bytes(MIB - 5)


def test_a_source_that_breaks_lets_its_error_through(small: Built) -> None:
    class Broken(Feed):
        @override
        def read_into(self, buffer: memoryview) -> int:
            return super().read_into(buffer) or self._break()

        def _break(self) -> int:
            raise PartError(Code.STREAM_CUT, "gone")

    output = Output()
    passing = TarRelay(PREFIX, output.put, SumsSpool(None), Meter())
    with pytest.raises(PartError) as caught:
        passing.copy(Broken(small.tar[:3000]), go_on)

    assert caught.value.code == Code.STREAM_CUT
    assert not passing.whole


def after(calls: int) -> Callable[[], None]:
    """Give what raises CANCELLED when it is called for the n-th time."""
    left = iter(range(calls))

    def keep_going() -> None:
        if next(left, None) is None:
            raise JobError(Code.CANCELLED, "enough")

    return keep_going


def test_a_cancelled_job_stops_between_two_pieces_and_while_a_cut_member_is_closed(tmp_path: Path) -> None:
    write_sparse(tmp_path / "huge", 64 * MIB, [])
    stream = tar_of(tmp_path, "--format=posix")[: 5 * MIB]
    output = Output()
    passing = TarRelay(PREFIX, output.put, SumsSpool(None), Meter())
    with pytest.raises(JobError):
        passing.copy(Feed(stream, [MIB]), after(2))
    assert len(output.data) <= 2 * MIB

    passing = TarRelay(PREFIX, output.put, SumsSpool(None), Meter())
    passing.copy(Feed(stream), go_on)
    output.data.clear()
    with pytest.raises(JobError):
        passing.close_cut(after(3))
    assert len(output.data) <= 3 * MIB


def test_a_second_read_goes_on_where_the_first_was_cut(small: Built, tmp_path: Path) -> None:
    names = [member.name for member in members(relay(small.tar).tar)]
    first_member_ends = BLOCK * 3
    for number, cut in enumerate(cuts(small.tar)):
        result = relay(small.tar[:cut], then=small.tar)

        assert_well_formed(result)
        # the map of a sparse file can't be made up, all else that is cut is filled with zeros
        assert result.damaged in {(), (PREFIX + "sparse",)}
        if cut < first_member_ends:
            assert not result.whole
            continue
        assert result.whole, cut
        assert [member.name for member in members(result.tar)] == names, cut
        if number % 16 == 0:
            at = extract(result.tar, tmp_path / str(cut))
            check_sums(result.sums, at)
            changed = differences(small.tree, describe(at / PREFIX), ignoring=["mtime", "map"])
            assert len(changed) <= 2, "only the file that was cut, and its other name, may be different"


def test_a_file_that_was_closed_for_a_second_read_is_named_in_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 5000)
    (tmp_path / "b").write_bytes(b"b" * 5000)
    stream = tar_of(tmp_path, "--format=posix", "--sort=name")
    cut = stream.index(b"a" * 600) + 600

    result = relay(stream[:cut], then=stream)

    assert result.warnings == (f"{PREFIX}a shrank while it was read; the rest of it is zeros",)
    assert extract(result.tar, tmp_path / "out").joinpath(PREFIX, "a").read_bytes() == b"a" * 600 + bytes(4400)


def test_a_second_read_without_the_member_that_was_cut_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 5000)
    stream = tar_of(tmp_path, "--format=posix", "--sort=name")
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_bytes(b"b")

    result = relay(stream[: stream.index(b"a" * 600) + 600], then=tar_of(tmp_path, "--format=posix"))

    assert not result.whole
    assert_well_formed(result)
