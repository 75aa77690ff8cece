"""Processes that are started in containers: how they end, and that none is left."""

import asyncio
import threading

import pytest

from app.engine.base import VolumeStream
from app.engine.docker import DockerEngine
from app.errors import Code, PartError
from tests.support.docker_engine import Images, RunContainer, TestContainer
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine


def processes(container: TestContainer) -> list[str]:
    """List the command lines of what runs in the container."""
    script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done"
    return [line.strip() for line in container.sh(script).splitlines() if line.strip()]


def runs(container: TestContainer, command: str) -> bool:
    return any(line == command or line.startswith(f"{command} ") for line in processes(container))


@pytest.mark.parametrize("kind", ["busybox", "gnu"])
@pytest.mark.parametrize("first_bytes", [0, 1 << 16])
async def test_leaving_early_ends_tar_in_the_container(
    kind: str, first_bytes: int, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(getattr(images, kind)) as container:
        (container.volume / "big").write_bytes(b"x" * (32 << 20))
        async with engine.read_volume(container.name, "/vol") as stream:
            if first_bytes:
                await asyncio.to_thread(stream.read_into, memoryview(bytearray(first_bytes)))
            assert runs(container, "tar")
        assert not runs(container, "tar")


async def test_leaving_ends_a_tar_that_hangs_in_silence(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.gnu) as container:
        (container.volume / "tar").write_text("#!/bin/sh\ncase $* in *--help*) echo GNU;; *) sleep 987;; esac\n")
        container.sh("rm /bin/tar; cp /vol/tar /bin/tar; chmod 755 /bin/tar")
        async with engine.read_volume(container.name, "/vol"):
            while not runs(container, "sleep 987"):
                pass
        eventually(lambda: not runs(container, "sleep 987"), what="the process is ended")


@pytest.mark.parametrize("kind", ["busybox", "bare"])
async def test_abort_ends_a_read_that_waits(
    kind: str, engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(getattr(images, kind)) as container:
        (container.volume / "big").write_bytes(b"x" * (32 << 20))
        async with engine.read_volume(container.name, "/vol") as stream:
            timer = threading.Timer(0.2, stream.abort)
            timer.start()
            with pytest.raises(PartError) as raised:
                await asyncio.to_thread(read_for_ever, stream)
            timer.join()
            assert raised.value.code is Code.TAR_FAILED
            stream.abort()


def read_for_ever(stream: VolumeStream) -> None:
    """Read until something is raised; the end of the stream is not taken for an answer."""
    buffer = memoryview(bytearray(1024))
    while True:
        stream.read_into(buffer)


async def test_a_command_gives_its_exit_code_and_the_tail_of_both_its_outputs(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.busybox) as container:
        script = "head -c 9000 /dev/zero | tr '\\0' x; echo last; exit 3"
        result = await engine.run(container.name, ["sh", "-c", script], timeout_seconds=30)
        both = await engine.run(container.name, ["sh", "-c", "echo last; echo words >&2"], timeout_seconds=30)
    assert result.exit_code == 3
    assert len(result.output) == 4096
    assert result.output.endswith("xxlast\n")
    assert sorted(both.output.splitlines()) == ["last", "words"]  # the engine carries them side by side


async def test_a_command_that_is_not_there_has_the_exit_code_of_that(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    for image in (images.busybox, images.bare):
        with run_container(image) as container:
            result = await engine.run(container.name, ["no-such-command"], timeout_seconds=30)
            assert result.exit_code in {126, 127}
            assert "no-such-command" in result.output


async def test_a_command_runs_without_a_shell_where_there_is_none(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.bare) as container:
        assert (await engine.run(container.name, ["/bin/sleep", "0"], timeout_seconds=30)).exit_code == 0


async def test_a_command_that_runs_too_long_is_ended_with_its_children(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.busybox) as container:
        with pytest.raises(PartError) as raised:
            await engine.run(container.name, ["sh", "-c", "tail -f /dev/null & wait"], timeout_seconds=0.5)
        assert raised.value.code is Code.HOOK_TIMEOUT
        assert container.name in raised.value.message
        eventually(lambda: not runs(container, "tail"), what="the children are ended")


async def test_a_command_that_ignores_the_first_signal_is_killed(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.busybox) as container:
        with pytest.raises(PartError) as raised:
            await engine.run(
                container.name, ["sh", "-c", "trap '' TERM; while :; do sleep 987; done"], timeout_seconds=0.5
            )
        assert raised.value.code is Code.HOOK_TIMEOUT
        eventually(lambda: not runs(container, "sleep 987"), what="the process is ended")


async def test_du_gives_an_estimate_where_it_can(
    engine: DockerEngine, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.busybox) as container:
        (container.volume / "file").write_bytes(b"x" * (1 << 20))
        size = await engine.measure(container.name, "/vol")
        assert size is not None
        assert 1 << 20 <= size < 2 << 20
        assert await engine.measure(container.name, "/nowhere") is None
    with run_container(images.bare) as container:
        assert await engine.measure(container.name, "/vol") is None
    assert await engine.measure("cell-test-nowhere", "/vol") is None
