"""Emptying a volume before it is written, and what hinders writing it."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.engine.base import Way
from app.errors import Code, PartError
from tests.engine.lab import Lab, quiesce
from tests.engine.reading import read_all
from tests.engine.writing import GNU_FLAGS, NOT_FLUSHED, files_below, packed, pour, tar_of, write_all
from tests.support.docker_engine import docker
from tests.support.trees import PLAIN, Wanted, build, describe

pytestmark = pytest.mark.engine

NO_UPWARD_LINKS = Wanted(long_links=False, large_owners=True, sparse=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    source.chmod(0o2751)
    return source


@pytest.mark.parametrize("kind", ["gnu", "busybox", "stopped", "paused"])
async def test_equal_removes_whatever_was_there_and_keeps_the_directory_itself(
    kind: str, source: Path, lab: Lab
) -> None:
    with lab.made(kind) as container:
        build(container.volume, PLAIN)
        (container.volume / "-rf").mkdir()
        (container.volume / "-rf/--help").touch()
        (container.volume / "..hidden").touch()
        (container.volume / ".h\n").mkdir()
        outside = source / "outside"
        outside.write_text("kept")
        (container.volume / "away").symlink_to(source)
        inode = container.volume.stat().st_ino
        await write_all(lab.engine, container.name, packed({"new": b"1"}))
        assert [path.name for path in container.volume.iterdir()] == ["new"]
        assert container.volume.stat().st_ino == inode
        assert outside.read_text() == "kept"


@pytest.mark.parametrize("kind", ["gnu", "busybox", "stopped"])
async def test_a_mount_point_inside_the_volume_is_emptied_and_stays(kind: str, tmp_path: Path, lab: Lab) -> None:
    inner = tmp_path / "inner mount"
    inner.mkdir()
    (inner / "old").touch()
    with lab.made({"stopped": "gnu"}.get(kind, kind), [f"--volume={inner}:/vol/a/in ner"]) as container:
        (container.volume / "a/beside").touch()
        quiesce(kind, container)
        await write_all(lab.engine, container.name, packed({"a": None, "a/in ner": None, "a/in ner/new": b"1"}))
        assert sorted(files_below(container.volume)) == []
        assert [path.name for path in inner.iterdir()] == ["new"]
        (inner / "new").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["gnu", "busybox", "stopped"])
@pytest.mark.parametrize("what", ["a folder, read-only", "a file", "a file, read-only"])
async def test_a_mount_that_cannot_be_replaced_is_spared(kind: str, what: str, tmp_path: Path, lab: Lab) -> None:
    mounted = tmp_path / "mounted"
    if what.startswith("a file"):
        mounted.write_text("as it is")
    else:
        mounted.mkdir()
        (mounted / "stays").write_text("as it is")
    mount = f"--volume={mounted}:/vol/a/in ner{':ro' if 'read-only' in what else ''}"
    with lab.made({"stopped": "gnu"}.get(kind, kind), [mount]) as container:
        (container.volume / "a/beside").touch()
        (container.volume / "old").touch()
        quiesce(kind, container)
        async with lab.engine.write_volume(container.name, "/vol", empty=True) as sink:
            assert sink.spared == ("a/in ner",)
            await asyncio.to_thread(pour, sink, packed({"a": None, "a/new": b"1"}))
            await sink.end()
        found = files_below(container.volume)
    assert {name for name in found if name != "a/in ner"} == {"a/new"}
    assert files_below(tmp_path) == {("mounted" if what.startswith("a file") else "mounted/stays"): b"as it is"}


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
async def test_what_cannot_be_removed_is_told_before_anything_is_written(kind: str, tmp_path: Path, lab: Lab) -> None:
    fixed = tmp_path / "fixed"
    fixed.mkdir()
    (fixed / "stays").write_text("as it is")
    with lab.made(kind, [f"--volume={fixed}:/fixed:ro"]) as container, pytest.raises(PartError) as raised:
        await write_all(lab.engine, container.name, packed({"new": b"1"}), "/fixed")
    assert raised.value.code is Code.VOLUME_NOT_EMPTIED
    assert "stays" in raised.value.message
    assert "Read-only file system" in raised.value.message
    assert files_below(fixed) == {"stays": b"as it is"}


@pytest.mark.parametrize("kind", ["gnu", "busybox", "stopped", "bare"])
async def test_folders_do_not_take_a_mode_over_that_the_directory_had(kind: str, tmp_path: Path, lab: Lab) -> None:
    saved = tmp_path / "saved"
    (saved / "dir").mkdir(parents=True)
    (saved / "dir").chmod(0o700)
    with lab.made(kind) as container:
        container.volume.chmod(0o2777)
        await write_all(lab.engine, container.name, tar_of(saved, GNU_FLAGS))
        modes = [{name: one.mode for name, one in describe(root).items()} for root in (saved, container.volume)]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
async def test_a_hundred_thousand_files_are_emptied(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        for number in range(100_000):
            os.close(os.open(container.volume / f"mail {number}", os.O_CREAT))
        await write_all(lab.engine, container.name, packed({"new": b"1"}))
        assert os.listdir(container.volume) == ["new"]  # noqa: PTH208 (a list of 100 000 paths takes its time)


@pytest.mark.parametrize("kind", ["gnu", "busybox", "stopped", "bare"])
@pytest.mark.parametrize("path", ["/vol/nowhere", "/vol/file", "vol", "/vol/-x y"])
async def test_a_missing_path_is_told_on_entering(kind: str, path: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        (container.volume / "file").write_text("here")
        with pytest.raises(PartError) as raised:
            async with lab.engine.write_volume(container.name, path, empty=True):
                pytest.fail("there is no such directory")
        assert files_below(container.volume) == {"file": b"here"}
    assert raised.value.code is Code.VOLUME_MISSING
    assert container.name in raised.value.message


async def test_a_missing_container_is_told_on_entering(lab: Lab) -> None:
    for name in ("cell-test-nowhere", "../containers", ""):
        with pytest.raises(PartError) as raised:
            await write_all(lab.engine, name, packed({}))
        assert raised.value.code is Code.CONTAINER_MISSING


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
async def test_a_full_disk_is_told_as_such(kind: str, lab: Lab) -> None:
    with lab.made(kind, ["--tmpfs=/small:size=1m"]) as container:
        free = await lab.engine.free_space(container.name, "/small")
        assert free is not None
        assert 0 < free <= 1 << 20
        with pytest.raises(PartError) as raised:
            await write_all(lab.engine, container.name, packed({"big": bytes(range(256)) * (1 << 14)}), "/small")
    assert raised.value.code is Code.VOLUME_FULL
    assert container.name in raised.value.message


@contextmanager
def small_disk(at: Path) -> Iterator[None]:
    at.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(at)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


async def test_the_archive_endpoint_tells_a_full_disk_as_such(tmp_path: Path, lab: Lab) -> None:
    small = tmp_path / "small"
    big = packed({"big": bytes(range(256)) * (1 << 14)})
    with (
        small_disk(small),
        lab.made("bare", [f"--volume={small}:/small"]) as container,
        pytest.raises(PartError) as raised,
    ):
        await write_all(lab.engine, container.name, big, "/small")
    assert raised.value.code is Code.VOLUME_FULL


async def test_a_directory_in_the_containers_own_layer_is_emptied_without_tar(lab: Lab) -> None:
    with lab.made("bare") as container:
        docker("cp", "-", f"{container.name}:/", data=packed({"own": None, "own/old": b"x", "own/sub": None}))
        written = await write_all(
            lab.engine, container.name, packed({"new": b"1", "sub": None, "sub/in": b"2"}), "/own"
        )
        reading = await read_all(lab.engine, container.name, "/own")
    assert (written.way, written.end.warnings) == (Way.ARCHIVE, (NOT_FLUSHED,))
    assert sorted(reading.members) == [".", "./new", "./sub", "./sub/in"]


async def test_a_mount_that_nothing_can_empty_is_left_as_it_is(lab: Lab) -> None:
    with lab.made("bare") as container:
        (container.volume / "old").write_text("kept")
        with pytest.raises(PartError) as raised:
            await write_all(lab.engine, container.name, packed({"new": b"1"}))
        assert files_below(container.volume) == {"old": b"kept"}
    assert raised.value.code is Code.VOLUME_NOT_EMPTIED
    assert container.name in raised.value.message


async def test_a_volume_in_memory_is_not_written_where_only_the_endpoint_is_left(lab: Lab) -> None:
    with lab.made("gnu", ["--tmpfs=/memory"]) as container:
        docker("stop", container.name)
        with pytest.raises(PartError) as raised:
            await write_all(lab.engine, container.name, packed({"new": b"1"}), "/memory")
    assert raised.value.code is Code.VOLUME_MISSING
    assert "in memory" in raised.value.message


async def test_a_stream_without_its_end_is_no_success(lab: Lab) -> None:
    for kind in ("gnu", "busybox"):
        with lab.made(kind) as container, pytest.raises(PartError) as raised:
            await write_all(lab.engine, container.name, packed({"file": b"x" * 5000})[:3000])
        assert raised.value.code in {Code.TAR_FAILED, Code.STREAM_CUT}, kind
