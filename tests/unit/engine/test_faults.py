"""The engine's streams when they break: the fake engine injects what a real one does on a bad day."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.engine.base import ReadEnd, Way
from app.engine.client import Client
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.errors import Code, PartError
from tests.engine.reading import drain, read_all
from tests.support.fake_engine import FakeEngine, Fault, frame

DATA = bytes(range(256)) * 16 + bytes(1024)


def engine_of(fake: FakeEngine, *, stall_seconds: float = 30) -> DockerEngine:
    return DockerEngine(Endpoint.resolve({"DOCKER_HOST": fake.docker_host}), stall_seconds=stall_seconds)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    async with FakeEngine(tmp_path / "engine.sock") as fake:
        fake.add_container("cell-a", {"/vol": DATA})
        yield fake


@pytest.fixture
async def engine(fake: FakeEngine) -> AsyncIterator[DockerEngine]:
    engine = engine_of(fake)
    yield engine
    await engine.close()


async def broken(engine: DockerEngine) -> tuple[bytes, PartError]:
    """Read until an error comes, from the stream or from its end; give what came before and the error."""
    taken = bytearray()
    with pytest.raises(PartError) as raised:
        await read_to_the_end(engine, taken)
    return bytes(taken), raised.value


async def read_to_the_end(engine: DockerEngine, taken: bytearray) -> None:
    buffer = memoryview(bytearray(64))
    async with engine.read_volume("cell-a", "/vol") as stream:
        while got := await asyncio.to_thread(stream.read_into, buffer):
            taken += buffer[:got]
        await stream.end()


@pytest.mark.parametrize("payload", [1, 7, 512, 32768])
@pytest.mark.parametrize("size", [1, 8, 100, 1 << 20])
async def test_frames_and_buffers_of_any_size_give_the_same_bytes(
    fake: FakeEngine, engine: DockerEngine, payload: int, size: int
) -> None:
    fake.fault = Fault(payload=payload)
    async with engine.read_volume("cell-a", "/vol") as stream:
        assert await asyncio.to_thread(drain, stream, size) == DATA
        assert await stream.end() == ReadEnd(0)


@pytest.mark.parametrize("state", ["running", "paused"])
@pytest.mark.parametrize("size", [1, 100, 1 << 20])
async def test_the_buffer_is_filled_as_long_as_there_is_something(
    fake: FakeEngine, engine: DockerEngine, state: str, size: int
) -> None:
    fake.containers["cell-a"].state = state
    fake.fault = Fault(payload=13)
    async with engine.read_volume("cell-a", "/vol") as stream:
        buffer = memoryview(bytearray(size))
        assert await asyncio.to_thread(stream.read_into, buffer) == min(size, len(DATA))


async def test_a_stream_that_is_cut_at_any_byte_is_never_a_good_end(
    fake: FakeEngine, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.exec_stream._GRACE_SECONDS", 0.1)
    fake.containers["cell-a"].volumes["/vol"] = DATA[:100]
    whole = len(frame(1, DATA[:40])) * 2 + len(frame(1, DATA[:20]))
    for at in range(whole + 1):
        fake.fault = Fault(payload=40, cut_at=at)
        taken, error = await broken(engine)
        assert error.code is Code.STREAM_CUT, at
        assert "cell-a" in error.message
        assert DATA[:100].startswith(taken)
        assert len(taken) == max(0, min(at - 8, 40)) + max(0, min(at - 56, 40)) + max(0, min(at - 104, 20))


async def test_a_cut_inside_a_frame_is_told_even_where_tar_ended_well(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.containers["cell-a"].volumes["/vol"] = DATA[:100]
    for at in range(1, 96):
        fake.fault = Fault(payload=40, cut_at=at, drained=True)
        if at % 48:
            _, error = await broken(engine)
            assert error.code is Code.STREAM_CUT, at


async def test_an_archive_that_is_cut_at_any_byte_is_never_a_good_end(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.containers["cell-a"].state = "exited"
    fake.containers["cell-a"].volumes["/vol"] = DATA[:100]
    whole = len(b"64\r\n" + DATA[:100] + b"\r\n" + b"0\r\n\r\n")
    for at in range(whole - 4):
        fake.fault = Fault(cut_at=at)
        taken, error = await broken(engine)
        assert error.code is Code.STREAM_CUT, at
        assert DATA[:100].startswith(taken)


@pytest.mark.parametrize("state", ["running", "paused"])
async def test_a_connection_that_is_reset_is_a_cut(state: str) -> None:
    async with FakeEngine() as fake:
        fake.add_container("cell-a", {"/vol": DATA * 100}, state=state)
        fake.fault = Fault(cut_at=100_000, reset=True)
        engine = engine_of(fake)
        _, error = await broken(engine)
        assert error.code is Code.STREAM_CUT
        await engine.close()


@pytest.mark.parametrize("state", ["running", "paused"])
async def test_a_stream_that_stalls_is_given_up_and_names_the_container(fake: FakeEngine, state: str) -> None:
    fake.containers["cell-a"].state = state
    fake.fault = Fault(stall_at=1000)
    engine = engine_of(fake, stall_seconds=3)
    taken, error = await broken(engine)
    assert error.code is Code.STREAM_STALLED
    assert "cell-a" in error.message
    assert DATA.startswith(taken)
    assert len(taken) > 900
    await engine.close()


async def test_a_process_that_is_left_is_ended(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.fault = Fault(stall_at=1000)
    async with engine.read_volume("cell-a", "/vol") as stream:
        assert await asyncio.to_thread(stream.read_into, memoryview(bytearray(10))) == 10
    assert [signal for signal, _ in fake.signals] == ["TERM"]


async def test_a_process_that_ended_is_sent_no_signal(fake: FakeEngine, engine: DockerEngine) -> None:
    await read_all(engine, "cell-a")
    assert fake.signals == []


async def test_a_cancelled_reader_ends_the_process_too(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.fault = Fault(stall_at=1000)
    opened = asyncio.Event()

    async def read() -> None:
        async with engine.read_volume("cell-a", "/vol"):
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [signal for signal, _ in fake.signals] == ["TERM"]


@pytest.mark.parametrize("exit_code", [2, 126, 127, 137, 143])
async def test_an_exit_code_that_is_no_success_fails_the_volume_though_every_byte_came(
    fake: FakeEngine, engine: DockerEngine, exit_code: int
) -> None:
    fake.fault = Fault(exit_code=exit_code, stderr=b"tar: ./x: Cannot read: Input/output error\n")
    taken, error = await broken(engine)
    assert taken == DATA
    assert error.code is Code.TAR_FAILED
    assert error.exit_code == exit_code
    assert "Input/output error" in error.message


async def test_an_exit_code_that_never_comes_is_a_cut(
    fake: FakeEngine, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.exec_stream._GRACE_SECONDS", 0.1)
    fake.fault = Fault(exit_code=None)
    _, error = await broken(engine)
    assert error.code is Code.STREAM_CUT
    assert "exit code is unknown" in error.message


@pytest.mark.parametrize("stream_id", [0, 3, 31])
async def test_a_stream_that_cannot_be_is_malformed(fake: FakeEngine, engine: DockerEngine, stream_id: int) -> None:
    fake.fault = Fault(stream_id=stream_id)
    _, error = await broken(engine)
    assert error.code is Code.STREAM_MALFORMED
    assert str(stream_id) in error.message


async def test_an_engine_that_refuses_to_start_is_quoted(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.fault = Fault(start=(500, "no more processes"))
    _, error = await broken(engine)
    assert error.code is Code.ENGINE_ERROR
    assert "500" in error.message
    assert "no more processes" in error.message


async def test_a_container_without_tar_is_read_by_the_archive_endpoint(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.containers["cell-a"].tar = "none"
    reading = await read_all(engine, "cell-a")
    assert (reading.way, reading.data, reading.end) == (Way.ARCHIVE, DATA, ReadEnd(None))


async def test_an_engine_that_goes_away_at_any_call_is_an_error_with_a_code(
    fake: FakeEngine, engine: DockerEngine
) -> None:
    await read_all(engine, "cell-a")
    calls = len(fake.requests)
    assert calls > 5
    for answered in range(calls):
        fake.requests.clear()
        fake.fault = Fault(gone_after=answered)
        fresh = engine_of(fake)
        _, error = await broken(fresh)
        assert error.code in {Code.ENGINE_UNREACHABLE, Code.STREAM_CUT}, answered
        await fresh.close()


async def test_an_engine_that_dies_in_mid_stream_is_a_cut(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.fault = Fault(stall_at=1000)
    async with engine.read_volume("cell-a", "/vol") as stream:
        assert await asyncio.to_thread(stream.read_into, memoryview(bytearray(10))) == 10
        await fake.stop()
        with pytest.raises(PartError) as raised:
            await asyncio.to_thread(drain, stream)
        assert raised.value.code is Code.STREAM_CUT
    with pytest.raises(PartError) as raised:
        await engine.info()
    assert raised.value.code is Code.ENGINE_UNREACHABLE


async def test_an_engine_that_never_answers_is_unreachable(tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        client = Client(Endpoint.resolve({"DOCKER_HOST": f"unix://{path}"}))
        with pytest.raises(PartError) as raised:
            await client.request("version", seconds=0.1)
        assert raised.value.code is Code.ENGINE_UNREACHABLE
        assert "0.1 seconds" in raised.value.message
        await client.close()


async def test_a_proxy_that_answers_without_an_upgrade_works_too(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.fault = Fault(start_status=200)
    assert (await read_all(engine, "cell-a")).data == DATA
