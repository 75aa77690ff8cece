"""Commands that are given input, over a socket and over TLS; volumes over TLS; signals and free space."""

import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.engine.base import ContainerState, Way
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.errors import Code, PartError
from tests.engine.lab import Lab
from tests.engine.writing import files_below, packed, write_all
from tests.support.tls_front import make_authority, tls_front
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.engine

BIG = bytes(range(256)) * (1 << 14)


@pytest.fixture(params=["socket", "tls"])
async def any_lab(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> AsyncIterator[Lab]:
    """Give the lab as it is, and once more with TLS in front of the engine."""
    if request.param == "socket":
        yield lab
        return
    authority, server = make_authority(tmp_path)
    async with tls_front(socket_of_the_engine(), server) as port:
        trusted = ssl.create_default_context(cafile=authority)
        engine = DockerEngine(Endpoint(host="127.0.0.1", port=port, tls=trusted), stall_seconds=60)
        yield replace(lab, engine=engine)
        await engine.close()


def socket_of_the_engine() -> Path:
    endpoint = Endpoint.resolve(os.environ)
    if not endpoint.sockets:
        pytest.skip("the engine is not on a socket")
    return Path(endpoint.url.removeprefix("unix://"))


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
async def test_a_command_gets_all_of_its_input_and_then_its_end(kind: str, any_lab: Lab) -> None:
    with any_lab.made(kind) as container:
        command = ["sh", "-c", "cat > /vol/got; echo words >&2; cat; exit 3"]
        result = await any_lab.engine.run(container.name, command, timeout_seconds=60, stdin=BIG)
        assert (result.exit_code, result.output) == (3, "words\n")
        assert (container.volume / "got").read_bytes() == BIG


async def test_a_command_that_answers_while_it_is_fed_does_not_stop(lab: Lab) -> None:
    with lab.made("busybox") as container:
        result = await lab.engine.run(container.name, ["cat"], timeout_seconds=60, stdin=BIG)
    assert (result.exit_code, result.output) == (0, BIG[-4096:].decode(errors="backslashreplace"))


async def test_a_command_that_fails_without_reading_its_input_gives_its_exit_code(lab: Lab) -> None:
    with lab.made("busybox") as container:
        result = await lab.engine.run(container.name, ["sh", "-c", "exit 4"], timeout_seconds=60, stdin=BIG)
    assert result.exit_code == 4


async def test_a_command_that_succeeds_without_its_input_is_not_believed(lab: Lab) -> None:
    with lab.made("busybox") as container, pytest.raises(PartError) as raised:
        await lab.engine.run(container.name, ["true"], timeout_seconds=60, stdin=BIG)
    assert raised.value.code is Code.STREAM_CUT


async def test_a_command_that_never_takes_its_input_is_ended(lab: Lab) -> None:
    with lab.made("busybox") as container:
        with pytest.raises(PartError) as raised:
            await lab.engine.run(container.name, ["sleep", "987"], timeout_seconds=0.5, stdin=BIG)
        assert "sleep 987" not in container.sh("ps")
    assert raised.value.code is Code.HOOK_TIMEOUT


async def test_a_command_that_is_not_there_is_told_though_it_has_input(lab: Lab) -> None:
    for kind in ("busybox", "bare"):
        with lab.made(kind) as container:
            result = await lab.engine.run(container.name, ["no-such-command"], timeout_seconds=60, stdin=b"input")
            assert result.exit_code in {126, 127}
            assert "no-such-command" in result.output


@pytest.mark.parametrize("any_lab", ["tls"], indirect=True)
@pytest.mark.parametrize("kind", ["gnu", "stopped", "bare"])
async def test_over_tls_the_archive_endpoint_writes_and_a_container_empties(kind: str, any_lab: Lab) -> None:
    with any_lab.made(kind) as container:
        if kind != "bare":
            (container.volume / "old").mkdir()
            (container.volume / "old/file").touch()
        written = await write_all(any_lab.engine, container.name, packed({"big": BIG}))
        assert written.way is Way.ARCHIVE
        assert files_below(container.volume) == {"big": BIG}
        assert [path.name for path in container.volume.iterdir()] == ["big"]


async def test_a_signal_reaches_the_main_process(lab: Lab) -> None:
    with lab.made("busybox") as container:
        with pytest.raises(PartError) as raised:
            await lab.engine.signal(container.name, "NOSUCH")
        assert raised.value.code is Code.ENGINE_ERROR
        assert (await lab.engine.inspect(container.name)).state is ContainerState.RUNNING
        await lab.engine.signal(container.name, "KILL")
        await eventually_async(lambda: stopped(lab.engine, container.name), what="the signal ended it")


async def stopped(engine: DockerEngine, container: str) -> bool:
    return (await engine.inspect(container)).state is ContainerState.STOPPED


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
async def test_free_space_is_that_of_the_disk_below_the_path(kind: str, lab: Lab) -> None:
    with lab.made(kind, ["--tmpfs=/with space:size=1m"]) as container:
        assert await lab.engine.free_space(container.name, "/with space") == 1 << 20
        status = os.statvfs(container.volume)
        free = await lab.engine.free_space(container.name, "/vol")
        assert free is not None
        assert free // 1024 <= status.f_blocks * status.f_frsize // 1024
        assert free > 1 << 20
    with lab.made("bare") as container:
        assert await lab.engine.free_space(container.name, "/vol") is None
