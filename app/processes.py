"""The processes of the service: API and worker, under one command or as two, with or without a server of our own."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import uvicorn
from pydantic import SecretStr
from typing_extensions import override

from app import __version__
from app.errors import Code, InputError, UnavailableError
from app.jobs.embedded import die_with_parent, embedded_server
from app.main import create_app, open_resources
from app.settings import Settings

log = logging.getLogger("cell_backup")

WORKER = (sys.executable, "-m", "workers.main")
ALONE = (sys.executable, "-m", "workers.alone")
_GRACE = 25.0
_LONGEST_PAUSE = 30.0
_OPEN_CONNECTIONS_LIMIT = 5


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run API and worker, and an embedded server where no REDIS_URL is set, until SIGINT or SIGTERM.

    `announce` gets the address once requests are answered. Raises InputError INVALID_SETTING, UnavailableError.
    """
    lost: list[UnavailableError] = []

    def end(error: UnavailableError) -> None:
        lost.append(error)
        signal.raise_signal(signal.SIGTERM)  # whoever supervises this process starts all of it again

    async with AsyncExitStack() as stack:
        if settings.redis_url is None:
            url = await stack.enter_async_context(embedded_server(settings.state_dir, on_lost=end))
            settings = settings.model_copy(update={"redis_url": SecretStr(url)})
        await stack.enter_async_context(_worker_kept_alive(settings))
        await serve_api(settings, announce)
    if lost:
        raise lost[0]


async def serve_api(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the API alone until SIGINT or SIGTERM."""
    with _listening(settings.host, settings.port) as listener:
        async with open_resources(settings) as resources:
            config = uvicorn.Config(
                create_app(settings, resources=resources),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_OPEN_CONNECTIONS_LIMIT,
            )
            await _Server(config, lambda: announce(_address(listener))).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Serve until a signal comes, and then let the rest of this process end as it should."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = started

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn would raise the signal again afterwards, and so kill the process before it has cleaned up
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=512)
        # asyncio would set it, but not on a socket it did not make; without it every answer waits 40 ms (RFC 896)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, UnicodeError) as error:
        message = f"The service cannot listen on {host} port {port}: {error}."
        hint = "Choose another CELL_BACKUP_HOST or CELL_BACKUP_PORT."
        raise InputError(Code.INVALID_SETTING, message, hint=hint) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@asynccontextmanager
async def _worker_kept_alive(settings: Settings) -> AsyncIterator[None]:
    """Keep one worker process running while the block runs; a worker that dies is started again."""
    keeper = asyncio.create_task(_keep_worker(settings))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.wait({keeper})


async def _keep_worker(settings: Settings) -> None:
    pause = 1.0
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        async with _worker_process(settings) as process:
            code = await process.wait()
        pause = 1.0 if loop.time() - begun > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
        log.error("the worker ended with exit code %s; it is started again in %.0f s", code, pause)
        await asyncio.sleep(pause)


@asynccontextmanager
async def _worker_process(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *WORKER,
        env=_environment(settings),
        # its Redis may be gone too, and it would wait for it; the next start tidies up
        preexec_fn=die_with_parent(signal.SIGKILL),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _GRACE)
            except TimeoutError:
                process.kill()
                await process.wait()


def _environment(settings: Settings) -> dict[str, str]:
    """Give the worker the settings this process has, however it got them; the address may hold a password."""
    given = {
        "CELL_BACKUP_CELL_ROOT": str(settings.cell_root),
        "CELL_BACKUP_BACKUP_DIR": str(settings.archives_dir),
        "CELL_BACKUP_STATE_DIR": str(settings.state_dir),
    }
    if settings.redis_url is not None:
        given["CELL_BACKUP_REDIS_URL"] = settings.redis_url.get_secret_value()
    return {**os.environ, **given}


def run_worker(settings: Settings) -> None:
    """Become the worker process."""
    os.execve(WORKER[0], WORKER, _environment(settings))  # noqa: S606 - our own interpreter and module


def run_alone(arguments: Sequence[str]) -> None:
    """Become the process that does one command with a worker's means, and without a service."""
    os.execv(ALONE[0], [*ALONE, *arguments])  # noqa: S606 - our own interpreter and module


def banner(address: str, settings: Settings) -> str:
    """Say where the service is, for people."""
    token = "CELL_BACKUP_API_TOKEN" if settings.api_token else settings.state_dir / "api-token"
    return f"cell-backup {__version__} on {address} (API page: {address}/docs, token: {token})"
