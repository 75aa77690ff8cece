"""Files that vanish, grow or shrink while a volume is read.

Back-pressure makes this certain: after the first bytes nobody reads on, so tar is held inside its first big file.
"""

import asyncio
import subprocess
from collections.abc import Callable

import pytest

from app.engine.base import ReadEnd, Way
from app.engine.docker import DockerEngine
from app.errors import Code, PartError
from tests.engine.reading import Reading, drain
from tests.support.docker_engine import Images, RunContainer, TestContainer

pytestmark = pytest.mark.engine

BIG = 8 << 20
NAMES = [f"big{number}" for number in range(4)]


async def read_and_meddle(
    engine: DockerEngine, container: TestContainer, meddle: Callable[[str, str], object]
) -> tuple[Reading, str, str]:
    """Read a little, call `meddle` with the file that is being read and one that comes later, read the rest."""
    for name in NAMES:
        (container.volume / name).write_bytes(name.encode() * (BIG // len(name)))
    async with engine.read_volume(container.name, "/vol") as stream:
        head = bytearray(1 << 14)
        got = await asyncio.to_thread(stream.read_into, memoryview(head))
        first = next(name for name in NAMES if f"./{name}\0".encode() in head[:got])
        later = next(name for name in NAMES if name != first)
        meddle(first, later)
        data = bytes(head[:got]) + await asyncio.to_thread(drain, stream)
        return Reading(stream.way, data, await stream.end()), first, later


@pytest.mark.parametrize("kind", ["busybox", "gnu"])
async def test_a_file_that_vanishes_before_its_turn_is_a_warning(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(getattr(images, kind)) as container:
        reading, _, later = await read_and_meddle(
            engine, container, lambda _, later: (container.volume / later).unlink()
        )
    assert sorted(reading.members) == sorted({".", *(f"./{name}" for name in NAMES)} - {f"./{later}"})
    assert reading.end.exit_code == 1
    assert not reading.end.resumable
    assert any(f"./{later}" in words for words in reading.end.warnings)


@pytest.mark.parametrize("kind", ["busybox", "gnu"])
async def test_a_directory_that_vanishes_before_its_turn_is_a_warning(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    def swap(_: str, later: str) -> None:
        (container.volume / later).unlink()
        (container.volume / later).mkdir()
        container.sh(f"rm -r /vol/{later}")

    with run_container(getattr(images, kind)) as container:
        reading, _, later = await read_and_meddle(engine, container, swap)
    assert f"./{later}" not in reading.members
    assert any(f"./{later}" in words for words in reading.end.warnings)


@pytest.mark.parametrize("kind", ["busybox", "gnu"])
async def test_a_file_that_grows_is_kept_as_it_was_and_named(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    def grow(first: str, _: str) -> None:
        with (container.volume / first).open("ab") as file:
            file.write(b"more" * 1000)

    with run_container(getattr(images, kind)) as container:
        reading, first, _ = await read_and_meddle(engine, container, grow)
    assert len(reading.content(f"./{first}")) == BIG // len(first) * len(first)
    assert sorted(reading.members) == sorted([".", *(f"./{name}" for name in NAMES)])
    words = {
        "busybox": f"1 file changed while the volume was read: ./{first}",
        "gnu": f"./{first}: file changed as we read it",
    }
    assert reading.end.warnings == (words[kind],)


async def test_gnu_tar_fills_a_file_that_shrinks_and_names_it(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.gnu) as container:
        reading, first, _ = await read_and_meddle(
            engine, container, lambda first, _: (container.volume / first).write_bytes(b"")
        )
    assert sorted(reading.members) == sorted([".", *(f"./{name}" for name in NAMES)])
    assert reading.end.exit_code == 1
    assert f"./{first}: File shrank by" in reading.end.warnings[0]


@pytest.mark.parametrize(("kind", "way"), [("busybox", Way.EXEC), ("bare", Way.ARCHIVE)])
async def test_where_a_file_that_shrinks_ends_the_stream_another_read_is_asked_for(
    kind: str, way: Way, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(getattr(images, kind)) as container:
        reading, _, _ = await read_and_meddle(
            engine, container, lambda first, _: (container.volume / first).write_bytes(b"")
        )
    assert reading.way is way
    assert len(reading.data) < BIG
    assert reading.end.resumable
    assert reading.end.exit_code == (1 if way is Way.EXEC else None)
    assert any("shrank" in words for words in reading.end.warnings)


async def test_what_did_not_change_while_it_was_read_is_not_named(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.busybox) as container:
        reading, _, _ = await read_and_meddle(engine, container, lambda _first, _later: None)
    assert reading.end == ReadEnd(0)


@pytest.mark.parametrize("kind", ["busybox", "gnu"])
async def test_a_tar_that_is_killed_fails_the_volume(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    killers: list[subprocess.Popen[bytes]] = []

    def kill(_first: str, _later: str) -> None:
        """Wait for the word only: the command itself ends when the output of the killed process has been read."""
        command = ["docker", "exec", container.name, "sh", "-c", "kill -KILL $(pidof tar) && echo killed"]
        killers.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert killers[0].stdout is not None
        assert killers[0].stdout.readline() == b"killed\n"

    with run_container(getattr(images, kind)) as container:
        with pytest.raises(PartError) as raised:
            await read_and_meddle(engine, container, kill)
        killers[0].communicate(timeout=60)
    assert raised.value.code is Code.TAR_FAILED
    assert raised.value.exit_code == 137
    assert container.name in raised.value.message
