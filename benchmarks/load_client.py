"""One client of a load run: queues a job, waits out a full queue, follows it by polling or by its event stream."""

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp

from benchmarks.load_counts import Counts

POLL = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 8.0  # seconds that a full queue is left alone, if it does not say how long
_TRIES = 5
_JOB_LIMIT = 300.0
_STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_read=120)
_STREAM = "text/event-stream"
_ENDED = {"succeeded", "partial", "failed", "cancelled"}


class LoadError(Exception):
    """Say what the service did that it must not do."""


class Client:
    """Speak to the service as one program would, and count what comes back."""

    def __init__(self, session: aiohttp.ClientSession, counts: Counts) -> None:
        self._session = session
        self._counts = counts

    async def job(self, path: str, wanted: dict[str, Any], *, stream: bool) -> dict[str, Any]:
        """Queue one job and follow it to its end."""
        accepted = await self._queue(path, wanted)
        async with asyncio.timeout(_JOB_LIMIT):
            await (self._listen if stream else self._poll)(accepted["status_url"])
        job: dict[str, Any] = await self.get(accepted["status_url"])
        if job["state"] not in _ENDED:
            raise LoadError(f"job {job['job_id']} was said to have ended, but is {job['state']}")
        waited = _moment(job["started_at"] or job["finished_at"]) - _moment(job["created_at"])
        self._counts.took("wait in the queue", waited)
        self._counts.ended[job["job_id"]] = job
        return job

    async def get(self, path: str, what: str = "GET job") -> Any:
        """Get a JSON document."""
        async with self._answer("GET", path, what) as answer:
            return await answer.json()

    async def scrape(self) -> None:
        """Read the metrics, as Prometheus does."""
        async with self._answer("GET", "/metrics", "GET metrics") as answer:
            await answer.read()

    async def _queue(self, path: str, wanted: dict[str, Any]) -> Any:
        """Queue a job; its key makes one job of it, also where it is sent again after a connection broke."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        pause = _FIRST_PAUSE
        while True:
            async with self._answer("POST", path, "POST", json=wanted, headers=headers) as answer:
                if answer.status == 202:
                    return await answer.json()
                if answer.status != 429 or (await answer.json())["code"] != "queue_full":
                    raise LoadError(f"POST {path} gave {answer.status}: {await answer.text()}")
                self._counts.queue_full += 1
                asked = answer.headers.get("Retry-After")
            await asyncio.sleep((float(asked) if asked else pause) * random.uniform(0.5, 1.5))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _poll(self, path: str) -> None:
        while True:
            job = await self.get(path)
            if job["state"] in _ENDED:
                break
            await asyncio.sleep(POLL)
        self._counts.took("end seen by polling", _now() - _moment(job["finished_at"]))

    async def _listen(self, path: str) -> None:
        """Follow the stream to its `end`; one that breaks is taken up again where it broke."""
        last: str | None = None
        while True:
            headers = {} if last is None else {"Last-Event-ID": last}
            opened = _now()
            try:
                async for event in self._events(path, headers):
                    last = event.get("id", last)
                    self._note_lag(event, opened)
                    if event.get("event") == "end":
                        finished = json.loads(event["data"])["finished_at"]
                        self._counts.took("end seen by the stream", _now() - _moment(finished))
                        return
            except aiohttp.ClientPayloadError:
                self._counts.broken_connections += 1
            self._counts.streams_resumed += 1
            await asyncio.sleep(POLL)

    def _note_lag(self, event: dict[str, str], opened: float) -> None:
        """Time an event by its id, which says when it was written; what was there before is no lag."""
        milliseconds = event.get("id", "").partition("-")[0]
        if milliseconds.isdecimal() and int(milliseconds) / 1000 > opened:
            self._counts.took("progress seen by the stream", _now() - int(milliseconds) / 1000)

    async def _events(self, path: str, headers: dict[str, str]) -> AsyncIterator[dict[str, str]]:
        async with self._answer(
            "GET", f"{path}/events", "open a stream", headers=headers, timeout=_STREAM_TIMEOUT
        ) as answer:
            event: dict[str, str] = {}
            async for raw in answer.content:
                line = raw.decode().rstrip("\r\n")
                if line:
                    name, _, value = line.partition(":")
                    event[name] = value.removeprefix(" ")
                elif event:
                    yield event
                    event = {}

    @asynccontextmanager
    async def _answer(self, method: str, path: str, what: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request until it is answered, and time that; an answer that nobody should get is an error."""
        for left in reversed(range(_TRIES)):
            begun = time.perf_counter()
            try:
                answer = await self._session.request(method, path, **options)
                break
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                self._counts.broken_connections += 1
                if not left:
                    raise LoadError(f"{method} {path} was not answered: {error!r}") from error
        async with answer:
            self._counts.answers[method, answer.status] += 1
            if answer.content_type != _STREAM:
                await answer.read()
            if answer.status >= 500 or (method == "GET" and answer.status != 200):
                raise LoadError(f"{method} {path} gave {answer.status}: {(await answer.text())[:500]}")
            if answer.status != 429:
                self._counts.took(what, time.perf_counter() - begun)
            yield answer


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _now() -> float:
    return datetime.now(UTC).timestamp()
