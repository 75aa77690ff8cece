"""Writing that does not go to its end: left early, cancelled, killed; and helpers, of which none may be left."""

import asyncio
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from app.engine import helper
from app.engine.base import Way
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.errors import Code, PartError
from tests.engine.lab import Lab
from tests.engine.test_processes import runs
from tests.engine.writing import files_below, packed, write_all
from tests.support.docker_engine import TestContainer, docker

pytestmark = pytest.mark.engine

BIG = packed({"big": bytes(range(256)) * (1 << 16)})
HALF = BIG[: len(BIG) // 2]


def helpers_of(engine: DockerEngine) -> list[str]:
    listed = docker("ps", "--all", f"--filter=label={helper.LABEL}={engine._owner}", "--format={{.Names}}")
    return listed.decode().split()


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
async def test_leaving_early_ends_tar_in_the_container(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        async with lab.engine.write_volume(container.name, "/vol", empty=True) as sink:
            await asyncio.to_thread(sink.write, HALF)
            assert runs(container, "tar")
        assert not runs(container, "tar")


@pytest.mark.parametrize("kind", ["gnu", "stopped", "bare"])
async def test_a_cancelled_writer_leaves_nothing_running(kind: str, lab: Lab) -> None:
    opened = asyncio.Event()

    async def write(container: TestContainer) -> None:
        async with lab.engine.write_volume(container.name, "/vol", empty=True) as sink:
            await asyncio.to_thread(sink.write, HALF)
            assert bool(helpers_of(lab.engine)) == (kind == "stopped")
            opened.set()
            await asyncio.Event().wait()

    with lab.made(kind) as container:
        task = asyncio.create_task(write(container))
        opening = asyncio.create_task(opened.wait())
        await asyncio.wait({task, opening}, return_when=asyncio.FIRST_COMPLETED)
        assert opened.is_set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if kind == "gnu":
            assert not runs(container, "tar")
    assert helpers_of(lab.engine) == []


async def test_cancelling_at_any_moment_of_opening_leaves_no_helper(lab: Lab) -> None:
    with lab.made("stopped") as container:
        for hundredths in range(0, 60, 4):
            opening = asyncio.create_task(open_and_leave(lab.engine, container.name))
            await asyncio.wait({opening}, timeout=hundredths / 100)
            opening.cancel()
            await asyncio.wait({opening})
            assert helpers_of(lab.engine) == []


async def open_and_leave(engine: DockerEngine, container: str) -> None:
    async with engine.write_volume(container, "/vol", empty=True):
        pass


@pytest.mark.parametrize("kind", ["gnu", "bare"])
async def test_abort_ends_a_write_that_waits(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        async with lab.engine.write_volume(container.name, "/vol", empty=True) as sink:
            if kind == "gnu":
                container.sh("kill -STOP $(pidof tar)")
            timer = threading.Timer(0.3, sink.abort)
            timer.start()
            with pytest.raises(PartError) as raised:
                await asyncio.to_thread(write_for_ever, sink.write)
            timer.join()
            sink.abort()
            assert raised.value.code is Code.TAR_FAILED
            with pytest.raises(PartError) as raised:
                await sink.end()
            assert raised.value.code is Code.TAR_FAILED


def write_for_ever(write: Callable[[bytes], None]) -> None:
    write(BIG[:1536])
    while True:
        write(BIG[1536 : 1 << 20])


async def interrupted(engine: DockerEngine, container: str, interrupt: Callable[[], object]) -> PartError:
    """Write the first half, interrupt, write the second, ask how it ended; give the error that came."""
    with pytest.raises(PartError) as raised:
        await write_interrupted(engine, container, interrupt)
    assert container in raised.value.message
    return raised.value


async def write_interrupted(engine: DockerEngine, container: str, interrupt: Callable[[], object]) -> None:
    async with engine.write_volume(container, "/vol", empty=True) as sink:
        await asyncio.to_thread(sink.write, HALF)
        await asyncio.to_thread(interrupt)
        with suppress(PartError):
            await asyncio.to_thread(sink.write, BIG[len(HALF) :])
        await sink.end()


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
async def test_a_container_that_is_killed_fails_the_write(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        error = await interrupted(lab.engine, container.name, lambda: docker("kill", container.name))
    assert error.code in {Code.TAR_FAILED, Code.STREAM_CUT}


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
async def test_a_tar_that_is_killed_fails_the_write_with_its_exit_code(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        error = await interrupted(lab.engine, container.name, lambda: container.sh("kill -KILL $(pidof tar)"))
    assert (error.code, error.exit_code) == (Code.TAR_FAILED, 137)


async def test_a_helper_that_is_killed_fails_the_write(lab: Lab) -> None:
    def kill() -> None:
        (name,) = helpers_of(lab.engine)
        assert not name.startswith("cell-")
        docker("kill", name)

    with lab.made("stopped") as container:
        error = await interrupted(lab.engine, container.name, kill)
    assert error.code in {Code.TAR_FAILED, Code.STREAM_CUT}


async def test_a_container_whose_root_may_not_do_everything_is_written_by_a_helper(lab: Lab) -> None:
    with lab.made("gnu", ["--cap-drop=ALL"]) as container:
        container.volume.chmod(0o700)
        written = await write_all(lab.engine, container.name, packed({"file": b"1"}))
        assert written.way is Way.HELPER
        assert files_below(container.volume) == {"file": b"1"}


async def test_an_anonymous_volume_outlives_the_helper(lab: Lab) -> None:
    with lab.made("gnu", ["--volume=/anonymous"]) as container:
        docker("stop", container.name)
        written = await write_all(lab.engine, container.name, packed({"file": b"1"}), "/anonymous")
        assert written.way is Way.HELPER
        docker("start", container.name)
        assert container.sh("cat /anonymous/file") == "1"


async def test_a_path_that_leads_out_of_the_mounts_is_not_written_by_a_helper(lab: Lab) -> None:
    with lab.made("gnu") as container:
        container.sh("mkdir /own && touch /own/old && ln -s /own /vol/link")
        docker("stop", container.name)
        with pytest.raises(PartError) as raised:
            await write_all(lab.engine, container.name, packed({"file": b"1"}), "/vol/link")
        assert raised.value.code is Code.VOLUME_NOT_EMPTIED
        await write_all(lab.engine, container.name, packed({"file": b"1"}), "/vol/link", empty=False)
        docker("start", container.name)
        assert container.sh("ls /own") == "file\nold\n"


async def test_a_container_without_tar_gets_a_helper_of_another_containers_image(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with lab.made("gnu"), lab.made("bare") as container:
        (container.volume / "old").touch()
        written = await write_all(lab.engine, container.name, packed({"file": b"1"}))
        assert written.way is Way.HELPER
        assert files_below(container.volume) == {"file": b"1"}


async def test_helpers_that_a_dead_process_left_are_swept(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "LABEL", f"cell-backup.helper-test-{secrets.token_hex(4)}")
    other = DockerEngine(Endpoint.resolve({"DOCKER_HOST": lab.engine._client.endpoint.url}), stall_seconds=60)
    other._owner = f"dead.{secrets.token_hex(4)}"
    with lab.made("stopped") as container:
        async with (
            lab.engine.write_volume(container.name, "/vol", empty=True),
            other.write_volume(container.name, "/vol", empty=True),
        ):
            (mine,), (dead,) = helpers_of(lab.engine), helpers_of(other)
            assert await lab.engine.sweep_helpers() == [dead]
            assert helpers_of(lab.engine) == [mine]
            assert helpers_of(other) == []
        assert await lab.engine.sweep_helpers() == []
    await other.close()
