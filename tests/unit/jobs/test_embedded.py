import asyncio
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.errors import Code, InputError, UnavailableError
from app.jobs.connection import open_link
from app.jobs.embedded import embedded_server, find_server
from tests.support.waiting import eventually_async

ROOT = Path(__file__).parents[3]
NOBODY = 65534


@pytest.fixture
def state() -> Iterator[Path]:
    """Give a state directory with a short name, as socket paths are short."""
    directory = Path(tempfile.mkdtemp(prefix="state-"))
    yield directory / "a 'state\" dir\u00e9"
    shutil.rmtree(directory)


@asynccontextmanager
async def _parent(*words: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.embedded_parent",
        *words,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _says(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode().strip()


async def _get(url: str, key: str) -> bytes | None:
    async with open_link(url, patience=0) as link:
        value: bytes | None = await link.run(lambda client: client.get(key))
        return value


def _runs(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in "XZ"


async def _failed(state: Path) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        async with embedded_server(state):
            pytest.fail("it runs")
    assert caught.value.code is Code.EMBEDDED_SERVER_FAILED
    return caught.value


async def test_the_server_is_private_and_durable(state: Path) -> None:
    async with embedded_server(state) as url, open_link(url, patience=0) as link:
        await link.run(lambda client: client.set("key", "value"))
        config = await link.run(lambda client: client.config_get("*"))
        modes = {name: stat.S_IMODE(path.stat().st_mode) for name, path in _named(state)}
    expected = {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    assert {name: config[name] for name in expected} == expected
    assert modes == {"": 0o700, "redis": 0o700, "redis/redis.sock": 0o700}
    async with embedded_server(state) as url:
        assert await _get(url, "key") == b"value"


def _named(state: Path) -> list[tuple[str, Path]]:
    return [("", state), ("redis", state / "redis"), ("redis/redis.sock", state / "redis" / "redis.sock")]


async def test_files_of_the_server_are_readable_by_their_owner_only(state: Path) -> None:
    async with embedded_server(state) as url, open_link(url, patience=0) as link:
        await link.ping()
        files = await asyncio.to_thread(lambda: [path for path in (state / "redis").rglob("*") if path.is_file()])
        assert {"redis.log", "redis.conf"} < {path.name for path in files}
        assert [path for path in files if path.stat().st_mode & 0o077] == []


async def test_a_second_one_on_the_same_directory_is_refused(state: Path) -> None:
    async with embedded_server(state) as url:
        assert "another cell-backup uses this state directory" in (await _failed(state)).message
        assert await _get(url, "key") is None
    async with embedded_server(state) as url:
        assert await _get(url, "key") is None


async def test_the_server_ends_with_the_block(state: Path) -> None:
    async with embedded_server(state) as url:
        async with open_link(url, patience=0) as link:
            pid = (await link.run(lambda client: client.info("server")))["process_id"]
        assert _runs(pid)
    assert not _runs(pid)
    assert not (state / "redis" / "redis.sock").exists()


async def test_the_server_ends_when_the_block_is_cancelled(state: Path) -> None:
    running = asyncio.Event()

    async def serve() -> None:
        async with embedded_server(state):
            running.set()
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await running.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    async with embedded_server(state):
        pass


async def test_a_server_whose_parent_is_killed_ends_too_and_its_data_is_there_for_the_next(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.embedded.LOCK_LIMIT", 30)
    async with _parent(state) as parent:
        server = int((await _says(parent)).removeprefix("runs "))
        assert _runs(server)
        parent.kill()
        async with embedded_server(state) as url:
            assert await _get(url, "key") == b"value"
            assert not _runs(server)


async def test_ctrl_c_is_for_the_parent_alone(state: Path) -> None:
    async with _parent(state) as parent:
        server = int((await _says(parent)).removeprefix("runs "))
        assert os.getpgid(server) != os.getpgid(parent.pid)
        assert parent.stdin is not None
        parent.stdin.close()
        assert await _says(parent) == "ended"


async def test_data_survives_a_server_that_is_killed_while_it_writes(state: Path) -> None:
    async with embedded_server(state, on_lost=lambda _: None) as url, open_link(url, patience=0) as link:
        await link.run(lambda client: client.set("key", "value"))
        os.kill((await link.run(lambda client: client.info("server")))["process_id"], signal.SIGKILL)
    increments = list((state / "redis" / "appendonlydir").glob("*.incr.aof"))
    assert len(increments) == 1
    with increments[0].open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$5\r\nother\r\n$5\r\nhal")
    async with embedded_server(state) as url:
        assert await _get(url, "key") == b"value"
        assert await _get(url, "other") is None


async def test_a_server_that_dies_is_told(state: Path) -> None:
    told: asyncio.Queue[UnavailableError] = asyncio.Queue()
    async with embedded_server(state, on_lost=told.put_nowait) as url, open_link(url, patience=0) as link:
        os.kill((await link.run(lambda client: client.info("server")))["process_id"], signal.SIGKILL)
        async with asyncio.timeout(30):
            error = await told.get()
        assert error.code is Code.EMBEDDED_SERVER_FAILED
        assert "exit code -9" in error.message


async def test_a_server_that_dies_is_logged_where_nobody_is_to_be_told(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with embedded_server(state) as url, open_link(url, patience=0) as link:
        os.kill((await link.run(lambda client: client.info("server")))["process_id"], signal.SIGKILL)

        async def logged() -> bool:
            return "exit code -9" in caplog.text

        await eventually_async(logged, what="the end of the server is logged")


async def test_an_orderly_end_is_not_told(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with embedded_server(state, on_lost=lambda error: pytest.fail(error.message)):
        pass
    async with embedded_server(state):
        pass
    assert caplog.text == ""


async def test_a_stale_socket_is_removed(state: Path) -> None:
    (state / "redis").mkdir(parents=True)
    (state / "redis" / "redis.sock").write_text("left behind")
    async with embedded_server(state) as url:
        assert await _get(url, "key") is None


async def test_a_directory_open_to_others_is_closed(state: Path) -> None:
    (state / "redis").mkdir(parents=True, mode=0o777)
    (state / "redis").chmod(0o777)
    async with embedded_server(state):
        assert stat.S_IMODE((state / "redis").stat().st_mode) == 0o700


async def test_a_path_too_long_for_a_socket_is_refused(state: Path) -> None:
    with pytest.raises(InputError) as caught:
        async with embedded_server(state / ("x" * 80)):
            pytest.fail("it runs")
    assert caught.value.code is Code.INVALID_SETTING
    assert "CELL_BACKUP_STATE_DIR" in caught.value.message
    assert list(state.parent.iterdir()) == []


async def test_the_longest_path_works() -> None:
    with tempfile.TemporaryDirectory(prefix="s-") as short:
        room = 100 - len(f"{short}//redis/redis.sock")
        async with embedded_server(Path(short) / ("x" * room)) as url:
            assert await _get(url, "key") is None


async def test_a_server_that_does_not_start_is_told_with_its_last_words(state: Path) -> None:
    (state / "redis").mkdir(parents=True)
    (state / "redis" / "appendonlydir").write_text("in the way")
    error = await _failed(state)
    assert "ended with exit code 1" in error.message
    assert "append" in error.message.lower()


def _on_path(monkeypatch: pytest.MonkeyPatch, directory: Path, name: str, script: str) -> Path:
    program = directory / name
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))
    return program


async def test_a_server_on_the_path_is_preferred(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = find_server()
    redis = _on_path(monkeypatch, tmp_path, "redis-server", f'#!/bin/sh\nexec {packaged} "$@"\n')
    assert find_server() == redis
    async with embedded_server(state) as url:
        assert await _get(url, "key") is None
    valkey = _on_path(monkeypatch, tmp_path, "valkey-server", "#!/bin/sh\necho out of order >&2\nexit 3\n")
    assert find_server() == valkey
    assert "ended with exit code 3: out of order" in (await _failed(state)).message


async def test_a_program_that_is_no_program_is_told(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on_path(monkeypatch, tmp_path, "valkey-server", "#!/nowhere/interpreter\n")
    assert "could not be started" in (await _failed(state)).message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_an_ordinary_user_can_run_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the checkout and the packaged server may lie where that user cannot look
    shutil.copy(find_server(), state.parent / "valkey-server")
    monkeypatch.setenv("PATH", str(state.parent))
    state.parent.chmod(0o711)
    _give_away(state)
    async with _parent(state, str(NOBODY)) as parent:
        assert (await _says(parent)).startswith("runs ")
        assert (state / "redis" / "redis.sock").stat().st_uid == NOBODY


def _give_away(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
