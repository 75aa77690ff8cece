"""What comes out of real containers: every kind of container, every kind of file."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.engine.base import Way
from app.engine.docker import DockerEngine
from app.errors import Code, PartError
from tests.engine.reading import read_all
from tests.support.docker_engine import Images, RunContainer, TestContainer, docker

pytestmark = pytest.mark.engine

KINDS = ["busybox", "gnu", "bare", "stopped", "paused"]
ODD_NAMES = [
    b"-x",
    b"--help",
    b"q\"'`$x",
    b"new\nline",
    b" space ",
    b"\\back",
    b"*",
    b"\xff\xfe",
    "ü".encode(),
    b"l" * 255,
]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def started(kind: str, images: Images, run_container: RunContainer) -> Iterator[TestContainer]:
    image = images.gnu if kind in {"gnu", "stopped", "paused"} else getattr(images, kind)
    with run_container(image) as container:
        yield container


def quiesce(kind: str, container: TestContainer) -> None:
    if kind in {"stopped", "paused"}:
        docker({"stopped": "stop", "paused": "pause"}[kind], container.name)


def way_of(kind: str) -> Way:
    return Way.EXEC if kind in {"busybox", "gnu"} else Way.ARCHIVE


async def test_every_kind_of_container_gives_names_content_links_and_times(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with started(kind, images, run_container) as container:
        vol = container.volume
        (vol / "dir/sub").mkdir(parents=True)
        (vol / "dir/sub/file").write_bytes(b"content" * 1000)
        os.utime(vol / "dir/sub/file", (1_000_000_000, 1_500_000_000))
        (vol / "empty").touch()
        (vol / "hard").hardlink_to(vol / "dir/sub/file")
        (vol / "soft").symlink_to("dir/sub/file")
        (vol / "broken").symlink_to("/nowhere/at all")
        (vol / "dir").chmod(0o700)
        (vol / "empty").chmod(0o640)
        os.mkfifo(vol / "fifo")
        quiesce(kind, container)
        reading = await read_all(engine, container.name)

    assert reading.way is way_of(kind)
    assert set(reading.members) == {
        ".",
        "./dir",
        "./dir/sub",
        "./dir/sub/file",
        "./empty",
        "./hard",
        "./soft",
        "./broken",
        "./fifo",
    }
    assert reading.content("./dir/sub/file") == reading.content("./hard") == b"content" * 1000
    assert sorted([reading.members["./hard"].islnk(), reading.members["./dir/sub/file"].islnk()]) == [False, True]
    assert int(reading.members["./dir/sub/file"].mtime) == 1_500_000_000
    assert reading.members["./soft"].linkname == "dir/sub/file"
    assert reading.members["./broken"].linkname == "/nowhere/at all"
    assert reading.members["./dir"].mode & 0o7777 == 0o700
    assert reading.members["./empty"].mode & 0o7777 == 0o640
    assert reading.members["./fifo"].isfifo()
    assert reading.end.exit_code == (0 if way_of(kind) is Way.EXEC else None)


async def test_odd_names_come_out_byte_for_byte(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with started(kind, images, run_container) as container:
        for name in ODD_NAMES:
            write(bytes(container.volume) + b"/" + name, name)
        quiesce(kind, container)
        reading = await read_all(engine, container.name)
    found = {os.fsencode(name): reading.content(name) for name in reading.members if name != "."}
    assert found == {b"./" + name: name for name in ODD_NAMES}


def write(path: bytes, content: bytes) -> None:
    Path(os.fsdecode(path)).write_bytes(content)


@pytest.mark.parametrize("kind", ["busybox", "gnu"])
async def test_a_path_near_the_kernels_limit_comes_out(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    parts = ["d" * 200] * 20 + ["f" * 60]
    with started(kind, images, run_container) as container:
        make_deep(container.volume, parts)
        reading = await read_all(engine, container.name)
    name = "/".join([".", *parts])
    assert len(name) > 4080
    assert reading.content(name) == b"deep"


def make_deep(root: Path, parts: list[str]) -> None:
    at = os.open(root, os.O_RDONLY)
    for part in parts[:-1]:
        os.mkdir(part, dir_fd=at)
        below = os.open(part, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    file = os.open(parts[-1], os.O_WRONLY | os.O_CREAT, dir_fd=at)
    os.write(file, b"deep")
    os.close(file)
    os.close(at)


@pytest.mark.parametrize("kind", ["busybox", "gnu", "stopped"])
async def test_owners_and_modes_come_out_as_numbers(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with started(kind, images, run_container) as container:
        container.sh("echo x > /vol/f; chown 65533:3000000 /vol/f; chmod 6751 /vol/f; mkdir /vol/t; chmod 1777 /vol/t")
        quiesce(kind, container)
        reading = await read_all(engine, container.name)
    file = reading.members["./f"]
    assert (file.uid, file.gid, file.mode & 0o7777) == (65533, 3_000_000, 0o6751)
    assert reading.members["./t"].mode & 0o7777 == 0o1777


async def test_an_empty_volume_is_a_whole_tar_with_the_directory_alone(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with started(kind, images, run_container) as container:
        quiesce(kind, container)
        reading = await read_all(engine, container.name)
    assert list(reading.members) == ["."]
    assert reading.data[-1024:] == bytes(1024)
    assert reading.end.warnings == ()


async def test_gnu_tar_keeps_holes_as_holes_and_extended_attributes(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.gnu) as container:
        with (container.volume / "sparse").open("wb") as file:
            file.seek(64 << 20)
            file.write(b"end")
        (container.volume / "tagged").touch()
        try:
            os.setxattr(container.volume / "tagged", "user.colour", b"blue")
        except OSError as error:
            pytest.skip(f"the file system of the volume takes no extended attributes: {error}")
        reading = await read_all(engine, container.name)
    assert len(reading.data) < 1 << 20
    assert reading.members["./sparse"].size == (64 << 20) + 3
    assert reading.content("./sparse")[-4:] == b"\0end"
    assert reading.members["./tagged"].pax_headers["SCHILY.xattr.user.colour"] == "blue"


@pytest.mark.parametrize("kind", ["busybox", "gnu"])
async def test_sockets_are_left_out_and_named(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(kind, images, run_container) as container:
        make_sockets(container.volume, monkeypatch)
        reading = await read_all(engine, container.name)
    assert reading.end.exit_code == 0
    assert sorted(reading.members) == [".", "./file"]
    assert sorted(reading.end.warnings) == ["./odd\\nname: socket ignored", "./sock: socket ignored"]


async def test_sockets_that_the_archive_endpoint_leaves_out_are_named_where_the_container_can_tell(
    engine: DockerEngine, images: Images, run_container: RunContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_container(images.gnu) as container:
        make_sockets(container.volume, monkeypatch)
        container.sh("rm /bin/tar")
        reading = await read_all(engine, container.name)
    assert reading.way is Way.ARCHIVE
    words = next(words for words in reading.end.warnings if "socket" in words)
    assert words in {"2 sockets left out: ./odd\\nname, ./sock", "2 sockets left out: ./sock, ./odd\\nname"}


def make_sockets(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(volume)  # a socket's path may have 107 bytes only
    (volume / "file").touch()
    for name in ("sock", "odd\nname"):
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(name)


async def test_excluded_files_are_left_out_by_gnu_tar_with_everything_below_them(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.gnu) as container:
        for name in ("keep", "a.tmp", "dir/b.tmp", "dir/keep", "cache/deep/x", "dir/cache/y"):
            (container.volume / name).parent.mkdir(parents=True, exist_ok=True)
            (container.volume / name).touch()
        reading = await read_all(engine, container.name, exclude=["*.tmp", "cache", "-dash", "dir/k*p"])
    assert sorted(reading.members) == [".", "./dir", "./keep"]


async def test_a_missing_path_is_named(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with started(kind, images, run_container) as container:
        (container.volume / "file").touch()
        quiesce(kind, container)
        for path in ("/vol/nowhere", "/vol/file", "vol", "/vol/-x y"):
            with pytest.raises(PartError) as raised:
                await read_all(engine, container.name, path)
            assert raised.value.code is Code.VOLUME_MISSING, path
            assert container.name in raised.value.message


async def test_a_missing_container_is_named(engine: DockerEngine) -> None:
    for name in ("cell-test-nowhere", "../containers", "a/b", ""):
        with pytest.raises(PartError) as raised:
            await read_all(engine, name)
        assert raised.value.code is Code.CONTAINER_MISSING


async def test_an_unreadable_file_fails_the_volume_with_tars_own_words(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.gnu) as container:
        words = "tar: ./f: Cannot open: Permission denied"
        script = f"#!/bin/sh\ncase $* in *--help*) echo GNU;; *) echo '{words}' >&2; exit 2;; esac\n"
        (container.volume / "tar").write_text(script)
        container.sh("rm /bin/tar; cp /vol/tar /bin/tar; chmod 755 /bin/tar")
        with pytest.raises(PartError) as raised:
            await read_all(engine, container.name)
    assert raised.value.code is Code.TAR_FAILED
    assert raised.value.exit_code == 2
    assert "./f: Cannot open: Permission denied" in raised.value.message
