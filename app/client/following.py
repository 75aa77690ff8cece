"""A job as it happens: the service's event stream, taken up again where it broke off."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp

from app.client.problems import reaching
from app.client.service import Service
from app.errors import UnavailableError

END = "end"
PATIENCE = 60.0  # seconds; a service that is started anew is back by then
_PAUSE = 0.5
_SILENCE = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)  # a comment comes every 15 seconds


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one event: `progress` with where the job stands, or `end` with the whole job."""

    name: str
    data: dict[str, Any]
    event_id: str | None = None


async def follow(service: Service, job_id: str, *, patience: float = PATIENCE) -> AsyncGenerator[Event]:
    """Give what happens to a job until its end, which comes last.

    A stream that breaks off is taken up again; raises UnavailableError once the service was away for `patience`
    seconds, RefusedError JOB_NOT_FOUND.
    """
    last: str | None = None
    heard = monotonic()
    while True:
        try:
            async with aclosing(_stream(service, job_id, last)) as events:
                async for event in events:
                    last, heard = event.event_id or last, monotonic()
                    yield event
                    if event.name == END:
                        return
        except UnavailableError:
            if monotonic() - heard > patience:
                raise
        await asyncio.sleep(_PAUSE)


async def _stream(service: Service, job_id: str, last: str | None) -> AsyncGenerator[Event]:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with service.open("GET", f"/api/jobs/{job_id}/events", headers=headers, timeout=_SILENCE) as answer:
        with reaching(service.url):
            async for event in parse_events(answer.content.iter_any()):
                yield event


async def parse_events(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Event]:
    """Read server-sent events; a last one that is cut off is none."""
    rest = b""
    async for piece in pieces:
        *blocks, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            event = _event(block.decode())
            if event is not None:
                yield event


def _event(block: str) -> Event | None:
    fields: dict[str, list[str]] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    if "data" not in fields:  # a comment, which says that the stream is alive
        return None
    name, event_id = fields.get("event", ["message"])[-1], fields.get("id", [None])[-1]
    return Event(name, json.loads("\n".join(fields["data"])), event_id)
