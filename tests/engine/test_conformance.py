"""What every engine has in common, real or in memory."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from app.archive.dialects import Dialect
from app.engine.base import CommandResult, ContainerState, Engine, Way, WriteEnd
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.engine.memory import MemoryContainer, MemoryEngine, MemoryVolume
from app.errors import Code, PartError
from tests.engine.reading import drain, read_all
from tests.engine.writing import packed, write_all
from tests.support.docker_engine import Images, RunContainer


@dataclass(frozen=True, slots=True)
class Stage:
    """An engine with one running container that has a file of 4 MiB in /vol, and `true` and `false`."""

    engine: Engine
    container: str


CONTENT = b"0123456789abcdef" * (1 << 18)


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.engine)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "memory":
        yield Stage(in_memory("cell-test-memory"), "cell-test-memory")
        return
    docker_host: str = request.getfixturevalue("docker_host")
    images: Images = request.getfixturevalue("images")
    run_container: RunContainer = request.getfixturevalue("run_container")
    engine = DockerEngine(Endpoint.resolve({**os.environ, "DOCKER_HOST": docker_host}), stall_seconds=60)
    with run_container(images.gnu, labels={"cell-backup.volumes": "/vol"}) as container:
        (container.volume / "file").write_bytes(CONTENT)
        yield Stage(engine, container.name)
    await engine.close()


def in_memory(name: str) -> MemoryEngine:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for member_name in (".", "./file"):
            member = tarfile.TarInfo(member_name)
            if member_name == ".":
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(CONTENT)
            tar.addfile(member, io.BytesIO(CONTENT))
    one = MemoryContainer(
        volumes={"/vol": MemoryVolume(packed.getvalue())},
        labels={"cell-backup.volumes": "/vol"},
        commands={"false": CommandResult(1, ""), "cat": echo},
    )
    return MemoryEngine({name: one, "other": MemoryContainer()})


def echo(_: Sequence[str], stdin: bytes | None) -> CommandResult:
    return CommandResult(0, (stdin or b"").decode())


async def test_it_tells_its_version(stage: Stage) -> None:
    info = await stage.engine.info()
    assert info.version
    assert info.api_version.startswith("1.")


async def test_it_lists_containers_of_cells_with_their_labels(stage: Stage) -> None:
    listed = await stage.engine.containers()
    assert all(one.name.startswith("cell-") for one in listed)
    assert [one.name for one in listed] == sorted(one.name for one in listed)
    mine = next(one for one in listed if one.name == stage.container)
    assert mine.labels["cell-backup.volumes"] == "/vol"
    assert mine.digest.startswith("sha256:")
    inspected = await stage.engine.inspect(stage.container)
    assert inspected.state is mine.state is ContainerState.RUNNING
    assert (inspected.image, inspected.digest) == (mine.image, mine.digest)


async def test_a_volume_is_read_to_a_whole_tar_in_any_size_of_buffer(stage: Stage) -> None:
    reading = await read_all(stage.engine, stage.container)
    assert reading.way is Way.EXEC
    assert reading.content("./file") == CONTENT
    assert reading.end.exit_code == 0
    async with stage.engine.read_volume(stage.container, "/vol") as stream:
        assert await asyncio.to_thread(drain, stream, 777) == reading.data


@pytest.mark.parametrize("state", [ContainerState.STOPPED, ContainerState.PAUSED])
async def test_a_volume_of_a_container_that_does_not_run_is_read_too(stage: Stage, state: ContainerState) -> None:
    await (stage.engine.stop if state is ContainerState.STOPPED else stage.engine.pause)(stage.container)
    assert (await stage.engine.inspect(stage.container)).state is state
    reading = await read_all(stage.engine, stage.container)
    assert reading.way is Way.ARCHIVE
    assert reading.content("./file") == CONTENT
    assert await stage.engine.measure(stage.container, "/vol") is None
    with pytest.raises(PartError) as raised:
        await stage.engine.run(stage.container, ["true"], timeout_seconds=10)
    assert raised.value.code is Code.ENGINE_ERROR


async def test_what_is_missing_has_a_code(stage: Stage) -> None:
    with pytest.raises(PartError) as raised:
        await read_all(stage.engine, stage.container, "/nowhere")
    assert raised.value.code is Code.VOLUME_MISSING
    with pytest.raises(PartError) as raised:
        await write_all(stage.engine, stage.container, packed({}), "/nowhere")
    assert raised.value.code is Code.VOLUME_MISSING
    for call in (
        stage.engine.inspect("cell-test-nowhere"),
        stage.engine.pause("cell-test-nowhere"),
        stage.engine.unpause("cell-test-nowhere"),
        stage.engine.stop("cell-test-nowhere"),
        stage.engine.start("cell-test-nowhere"),
        stage.engine.run("cell-test-nowhere", ["true"], timeout_seconds=10),
        stage.engine.signal("cell-test-nowhere", "HUP"),
        read_all(stage.engine, "cell-test-nowhere"),
        write_all(stage.engine, "cell-test-nowhere", packed({})),
    ):
        with pytest.raises(PartError) as raised:
            await call
        assert raised.value.code is Code.CONTAINER_MISSING


async def test_pausing_and_stopping_twice_changes_nothing(stage: Stage) -> None:
    engine, name = stage.engine, stage.container
    for act, then in (
        (engine.pause, ContainerState.PAUSED),
        (engine.unpause, ContainerState.RUNNING),
        (engine.stop, ContainerState.STOPPED),
        (engine.unpause, ContainerState.STOPPED),
        (engine.start, ContainerState.RUNNING),
    ):
        for _ in range(2):
            await act(name)
            assert (await engine.inspect(name)).state is then


async def test_a_command_gives_its_exit_code(stage: Stage) -> None:
    assert (await stage.engine.run(stage.container, ["true"], timeout_seconds=10)).exit_code == 0
    assert (await stage.engine.run(stage.container, ["false"], timeout_seconds=10)).exit_code == 1


async def test_an_aborted_read_says_so(stage: Stage) -> None:
    async with stage.engine.read_volume(stage.container, "/vol") as stream:
        assert await asyncio.to_thread(stream.read_into, memoryview(bytearray(1024))) == 1024
        stream.abort()
        stream.abort()
        with pytest.raises(PartError) as raised:
            await asyncio.to_thread(drain, stream)
        assert raised.value.code is Code.TAR_FAILED


async def test_the_size_of_a_volume_is_estimated(stage: Stage) -> None:
    size = await stage.engine.measure(stage.container, "/vol")
    assert size is not None
    assert len(CONTENT) <= size < 2 * len(CONTENT)


async def test_a_volume_that_is_written_is_equal_to_what_was_written(stage: Stage) -> None:
    written = await write_all(stage.engine, stage.container, packed({"new": b"1", "dir": None, "dir/in": b"2"}))
    assert (written.way, written.dialect, written.loses) == (Way.EXEC, Dialect.PAX, None)
    assert written.end == WriteEnd(0)
    reading = await read_all(stage.engine, stage.container)
    assert sorted(reading.members) == [".", "./dir", "./dir/in", "./new"]
    assert reading.content("./dir/in") == b"2"


async def test_an_overlay_keeps_what_was_there(stage: Stage) -> None:
    await write_all(stage.engine, stage.container, packed({"new": b"1"}), empty=False)
    reading = await read_all(stage.engine, stage.container)
    assert sorted(reading.members) == [".", "./file", "./new"]
    assert reading.content("./file") == CONTENT
    await write_all(stage.engine, stage.container, packed({"file": b"replaced"}), empty=False)
    reading = await read_all(stage.engine, stage.container)
    assert sorted(reading.members) == [".", "./file", "./new"]
    assert reading.content("./file") == b"replaced"


@pytest.mark.parametrize("state", [ContainerState.STOPPED, ContainerState.PAUSED])
async def test_a_volume_of_a_container_that_does_not_run_is_written_by_a_helper(
    stage: Stage, state: ContainerState
) -> None:
    await (stage.engine.stop if state is ContainerState.STOPPED else stage.engine.pause)(stage.container)
    written = await write_all(stage.engine, stage.container, packed({"new": b"1"}))
    assert (written.way, written.end.exit_code) == (Way.HELPER, 0)
    reading = await read_all(stage.engine, stage.container)
    assert sorted(name.rstrip("/") for name in reading.members) == [".", "./new"]
    assert await stage.engine.free_space(stage.container, "/vol") is None


async def test_an_aborted_write_says_so(stage: Stage) -> None:
    async with stage.engine.write_volume(stage.container, "/vol", empty=False) as sink:
        await asyncio.to_thread(sink.write, packed({})[:512])
        sink.abort()
        sink.abort()
        with pytest.raises(PartError) as raised:
            await asyncio.to_thread(sink.write, packed({})[512:])
        assert raised.value.code is Code.TAR_FAILED


async def test_a_command_is_given_its_input(stage: Stage) -> None:
    for text in ("", "two\nlines\n"):
        result = await stage.engine.run(stage.container, ["cat"], timeout_seconds=30, stdin=text.encode())
        assert result == CommandResult(0, text)


async def test_a_signal_needs_a_running_container(stage: Stage) -> None:
    await stage.engine.signal(stage.container, "WINCH")
    await stage.engine.stop(stage.container)
    with pytest.raises(PartError) as raised:
        await stage.engine.signal(stage.container, "WINCH")
    assert raised.value.code is Code.ENGINE_ERROR


async def test_the_free_space_of_a_volume_is_told(stage: Stage) -> None:
    free = await stage.engine.free_space(stage.container, "/vol")
    assert free is not None
    assert free > len(CONTENT)
    assert await stage.engine.free_space(stage.container, "/nowhere") is None
