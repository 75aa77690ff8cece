"""The relay on real streams: what GNU tar extracts afterwards is the tree that was there before, bit for bit."""

import re
from pathlib import Path

import pytest

from app.archive.headers import END_OF_ARCHIVE
from tests.support.tars import (
    BUSYBOX,
    PLAIN_EXTRACT_FLAGS,
    SERVICE_FLAGS,
    busybox_tar_of,
    check_sums,
    extract,
    listing,
    tar_of,
)
from tests.support.trees import describe, differences
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import PREFIX, Relayed, block, members, relay

NO_XATTRS = ("xattrs",)
OLD_NUMBERS = ("xattrs", "map", "mtime")


def assert_sums_agree(result: Relayed, at: Path, built: Built) -> None:
    lines = check_sums(result.sums, at)

    contents = {facts.names for facts in built.tree.values() if facts.digest}
    assert len(lines) == len(contents) == result.files == result.meter.files
    assert all(line.endswith(b": OK") for line in lines)


@pytest.mark.parametrize(
    ("flags", "ignoring"),
    [
        pytest.param(SERVICE_FLAGS, (), id="as the service asks"),
        pytest.param(("--format=posix", "--xattrs", "--xattrs-include=*", "--acls"), ("map",), id="posix"),
        pytest.param(("--format=posix", "--sparse-version=0.1"), NO_XATTRS, id="posix, sparse 0.1"),
        pytest.param(("--format=gnu",), OLD_NUMBERS, id="gnu"),
        pytest.param(("--format=gnu", "--sparse"), ("xattrs", "mtime"), id="gnu, sparse"),
        pytest.param(("--format=oldgnu", "--sparse"), ("xattrs", "mtime"), id="old gnu, sparse"),
    ],
)
def test_everything_survives(
    everything: Built, tmp_path: Path, flags: tuple[str, ...], ignoring: tuple[str, ...]
) -> None:
    result = relay(tar_of(everything.root, *flags))

    # GNU tar has trouble with ACLs on paths of 4 KiB, so it is asked for them only where there are any
    extract(result.tar, tmp_path, *[] if "--acls" in flags else [PLAIN_EXTRACT_FLAGS])
    assert (result.whole, result.error, result.damaged) == (True, None, ())
    assert set(result.warnings) == {f"Left out: {PREFIX}{name} is a {name}-device." for name in everything.devices}
    assert differences(everything.kept, describe(tmp_path / PREFIX), ignoring=ignoring) == []
    assert_sums_agree(result, tmp_path, everything)


@pytest.mark.parametrize("form", ["ustar", "v7", "posix", "gnu"])
def test_a_plain_tree_survives_in_every_format(plain: Built, tmp_path: Path, form: str) -> None:
    result = relay(tar_of(plain.root, f"--format={form}"))

    extract(result.tar, tmp_path, PLAIN_EXTRACT_FLAGS)
    assert (result.whole, result.error) == (True, None)
    assert differences(plain.tree, describe(tmp_path / PREFIX)) == []
    assert_sums_agree(result, tmp_path, plain)


@pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed")
def test_what_busybox_can_write_survives(plain: Built, everything: Built, tmp_path: Path) -> None:
    result = relay(busybox_tar_of(plain.root))
    extract(result.tar, tmp_path / "plain", PLAIN_EXTRACT_FLAGS)
    assert (result.whole, result.error) == (True, None)
    assert differences(plain.tree, describe(tmp_path / "plain" / PREFIX)) == []
    assert_sums_agree(result, tmp_path / "plain", plain)

    result = relay(busybox_tar_of(everything.root))
    extract(result.tar, tmp_path / "all", PLAIN_EXTRACT_FLAGS)
    assert (result.whole, result.error) == (True, None)
    ignoring = ("xattrs", "map", "mtime", "uid", "gid")
    assert differences(everything.kept, describe(tmp_path / "all" / PREFIX), ignoring=ignoring) == []
    assert_sums_agree(result, tmp_path / "all", everything)


@pytest.mark.parametrize(
    "flags",
    [SERVICE_FLAGS, ("--format=gnu", "--sparse"), ("--format=posix", "--sparse-version=0.1")],
    ids=["as the service asks", "gnu", "posix, sparse 0.1"],
)
def test_a_listing_differs_by_the_prefix_only(everything: Built, flags: tuple[str, ...]) -> None:
    before = tar_of(everything.root, *flags, "--exclude=./char", "--exclude=./block")
    after = relay(before).tar

    def prefixed(line: bytes) -> bytes:
        line = re.sub(rb" \./", b" " + PREFIX.encode(), line, count=1)
        return re.sub(rb" link to \./", b" link to " + PREFIX.encode(), line)

    assert [prefixed(line) for line in listing(before)] == listing(after)


def test_holes_stay_holes(everything: Built, tmp_path: Path) -> None:
    extract(relay(everything.tar).tar, tmp_path)

    holes = [name for name in everything.tree if name.startswith(b"sparse/")]
    assert len(holes) == 7
    for name in holes:
        status = (tmp_path / PREFIX / name.decode()).stat()
        assert status.st_blocks * 512 < status.st_size / 2


def test_the_reader_finds_what_the_relay_wrote(everything: Built) -> None:
    found = members(relay(everything.tar).tar)

    paths = [member.name.removeprefix(PREFIX.encode()).rstrip(b"/") or b"." for member in found]
    assert sorted(paths) == sorted(everything.kept)
    for path, member in zip(paths, found, strict=True):
        facts = everything.tree[path]
        assert (member.mode, member.uid, member.gid) == (facts.mode, facts.uid, facts.gid)
        assert member.mtime == facts.mtime


def test_owners_count_by_number_only(plain: Built) -> None:
    named = tar_of(plain.root, "--format=gnu", "--owner=daemon:1234", "--group=nogroup:4321")
    assert b"daemon" in named

    result = relay(named)

    assert b"daemon" not in result.tar
    assert b"nogroup" not in result.tar
    assert {(member.uid, member.gid) for member in members(result.tar)} == {(1234, 4321)}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"name": b"./mail\0and what stood there before"}, id="leftovers behind the name"),
        pytest.param({"name": b"mail", "prefix": b"./cur"}, id="a name in two fields"),
    ],
)
def test_a_file_with_an_unusual_name_field_is_renamed_as_any_other(fields: dict[str, bytes]) -> None:
    strange = block(**fields)
    result = relay(strange + END_OF_ARCHIVE)

    (before,), (after,) = members(strange + END_OF_ARCHIVE), members(result.tar)
    assert after.name == PREFIX.encode() + before.name.removeprefix(b"./")
    assert (result.whole, result.files) == (True, 1)
    (listed,) = listing(result.tar)
    assert listed.endswith(after.name)


def test_an_empty_volume_is_whole(tmp_path: Path) -> None:
    result = relay(tar_of(tmp_path, *SERVICE_FLAGS))

    assert (result.whole, result.files, result.sums) == (True, 0, b"")
    assert [member.name for member in members(result.tar)] == [PREFIX.encode()]
    assert relay(bytes(10240)).whole


def test_a_sparse_file_in_the_oldest_pax_notation_is_refused_as_readers_differ_over_it(everything: Built) -> None:
    # GNU tar wrote version 0.0 until 2006: its map is in records of one and the same name
    result = relay(tar_of(everything.root, "--format=posix", "--sparse-version=0.0"))

    assert result.error is not None
    assert not result.whole
