"""A receiver of webhooks on loopback that answers as badly as a test wants."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_YW4gZXhhbXBsZSwgbm90IGEgc2VjcmV0"
LOOPBACK = ("127.0.0.0/8", "::1/128")
Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """Hold one request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str | bytes = SECRET) -> Any:
        """Give the message after the receiver's own library has checked its signature."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Answer the first request by the first behaviour, and so on; the last one stays."""

    behaviours: list[Behaviour]
    received: list[Received] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks/path-is-secret?key=query-is-secret"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                self.received.append(await _request(reader))
                self.came.set()
                behaviour = self.behaviours[min(len(self.received), len(self.behaviours)) - 1]
                await behaviour(writer)
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in fields)}
    return Received(line, headers, await reader.readexactly(int(headers["content-length"])))


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    """Answer like a sound server; underscores in names of headers become hyphens."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Anything", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return behave


def raw(content: bytes) -> Behaviour:
    """Send these bytes and close."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return behave


async def hang(writer: asyncio.StreamWriter) -> None:
    """Say nothing until the caller goes away."""
    await writer.wait_closed()


async def begin_and_hang(writer: asyncio.StreamWriter) -> None:
    """Say that it went well, then nothing more of the promised body."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
    await writer.drain()
    await writer.wait_closed()


async def answer_for_ever(writer: asyncio.StreamWriter) -> None:
    """Send a body without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()


@asynccontextmanager
async def receiver(*behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver; one that is told nothing takes everything."""
    taking = Receiver(list(behaviours) or [answer(204)], scheme="http" if tls is None else "https")
    calls: set[asyncio.Task[None]] = set()

    def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(taking.serve(reader, writer))
        calls.add(task)
        task.add_done_callback(calls.discard)

    server = await asyncio.start_server(called, "127.0.0.1", 0, ssl=tls)
    taking.port = server.sockets[0].getsockname()[1]
    try:
        yield taking
    finally:
        server.close()
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
