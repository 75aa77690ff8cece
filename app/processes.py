"""The processes of the service: API and worker, under one command or as two, with or without a server of our own."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager

import uvicorn
from pydantic import SecretStr
from typing_extensions import override

from app import __version__
from app.connections import TimelyRequests
from app.errors import Code, InputError, UnavailableError
from app.jobs.embedded import embedded_server
from app.keeping import WORKER, worker_environment, worker_kept_alive
from app.main import create_app, open_resources
from app.settings import Settings

log = logging.getLogger("cell_backup")

ALONE = (sys.executable, "-m", "workers.alone")
_OPEN_CONNECTIONS_LIMIT = 5
_BACKLOG = 512
_KEPT_GRACE = 110.0  # docker-compose.yml gives the worker's container two minutes
_AT_ONCE = 16  # connections that asyncio takes before it sees whether they are too many


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
        await stack.enter_async_context(worker_kept_alive(settings))
        await serve_api(settings, announce)
    if lost:
        raise lost[0]


async def serve_api(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the API alone until SIGINT or SIGTERM."""
    with _listening(settings.host, settings.port) as listener:
        async with open_resources(settings) as resources:
            config = uvicorn.Config(
                create_app(settings, resources=resources),
                http=TimelyRequests,
                backlog=_AT_ONCE,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_OPEN_CONNECTIONS_LIMIT,
            )
            server = Server(config, lambda: announce(_address(listener)), resources.closing.set)
            await server.serve(sockets=[listener])


class Server(uvicorn.Server):
    """Serve until a signal comes, and then let the rest of this process end as it should."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], closing: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = started
        self._closing = closing

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)  # asyncio has set it to what it takes at once
        if self.started:
            self._announce()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing()  # uvicorn waits for open streams, which would not end by themselves
        await super().shutdown(sockets)

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
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
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


def run_worker(settings: Settings) -> None:
    """Become the worker process."""
    os.execve(WORKER[0], WORKER, worker_environment(settings))  # noqa: S606 - our own interpreter and module


async def keep_worker(settings: Settings) -> None:
    """Run a worker, again when it ends and anew when it hangs, until SIGINT or SIGTERM."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with worker_kept_alive(settings, grace=_KEPT_GRACE):
        await told.wait()


def run_alone(arguments: Sequence[str]) -> None:
    """Become the process that does one command with a worker's means, and without a service."""
    os.execv(ALONE[0], [*ALONE, *arguments])  # noqa: S606 - our own interpreter and module


def banner(address: str, settings: Settings) -> str:
    """Say where the service is, for people."""
    token = "CELL_BACKUP_API_TOKEN" if settings.api_token else settings.state_dir / "api-token"
    page = f"page: {address}/, " if settings.page else ""
    docs = f"API page: {address}/docs, " if settings.docs else ""
    return f"cell-backup {__version__} on {address} ({page}{docs}token: {token})"
