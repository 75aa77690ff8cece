"""What every engine has in common, real or in memory."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from app.engine.base import CommandResult, ContainerState, Engine, Way
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.engine.memory import MemoryContainer, MemoryEngine, MemoryVolume
from app.errors import Code, PartError
from tests.engine.reading import drain, read_all
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
        commands={"false": CommandResult(1, "")},
    )
    return MemoryEngine({name: one, "other": MemoryContainer()})


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
    for call in (
        stage.engine.inspect("cell-test-nowhere"),
        stage.engine.pause("cell-test-nowhere"),
        stage.engine.unpause("cell-test-nowhere"),
        stage.engine.stop("cell-test-nowhere"),
        stage.engine.start("cell-test-nowhere"),
        stage.engine.run("cell-test-nowhere", ["true"], timeout_seconds=10),
        read_all(stage.engine, "cell-test-nowhere"),
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
