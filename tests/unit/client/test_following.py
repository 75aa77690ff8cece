"""The client of the event stream: pieces of any size, streams that break off, services that stay away."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from app.client.following import Event, follow, parse_events
from app.client.place import Place
from app.client.service import Service, connected
from app.errors import Code, RefusedError, UnavailableError

JOB = "1" * 32
STREAM = (
    b'event: progress\ndata: {"n": 1}\nid: 1-0\n\n'
    b": still here\n\n"
    b'event: end\r\ndata: {"n":\r\ndata: 2}\r\nid: end\r\n\r\n'
)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(STREAM), size):
        yield STREAM[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_events_are_read_however_they_are_cut(size: int) -> None:
    found = [event async for event in parse_events(in_pieces(size))]
    assert found == [Event("progress", {"n": 1}, "1-0"), Event("end", {"n": 2}, "end")]


async def test_an_event_that_is_cut_off_is_none() -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield STREAM[:30]

    assert [event async for event in parse_events(cut())] == []


@asynccontextmanager
async def answering(*answers: Answer) -> AsyncIterator[tuple[Service, list[str | None]]]:
    """Run a service that answers so, one request after the other; gives what Last-Event-ID each one had."""
    asked: list[str | None] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Last-Event-ID"))
        return await answers[min(len(asked), len(answers)) - 1](request)

    app = web.Application()
    app.router.add_get("/api/jobs/{job}/events", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with connected(Place(f"http://{host}:{port}", "token")) as service:
            yield service, asked
    finally:
        await runner.cleanup()


def streaming(*events: tuple[str, str], cut: bool = False) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for name, event_id in events:
            await response.write(f"event: {name}\nid: {event_id}\ndata: {{}}\n\n".encode())
        if cut and request.transport is not None:
            request.transport.abort()
        return response

    return answer


def refusing(status: int, code: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        text = json.dumps({"code": code, "detail": "So it is.", "hint": "Wait."})
        return web.Response(status=status, text=text, content_type="application/problem+json")

    return answer


async def test_a_stream_that_breaks_off_is_taken_up_where_it_was() -> None:
    answers = (
        streaming(("progress", "1-0"), ("progress", "2-0"), cut=True),
        refusing(503, "redis_unavailable"),
        streaming(("progress", "3-0")),
        streaming(("end", "end")),
    )
    async with answering(*answers) as (service, asked):
        found = [event.event_id async for event in follow(service, JOB)]
    assert found == ["1-0", "2-0", "3-0", "end"]
    assert asked == [None, "2-0", "2-0", "3-0"]


async def test_a_service_that_stays_away_is_given_up() -> None:
    async with answering(refusing(503, "redis_unavailable")) as (service, asked):
        with pytest.raises(UnavailableError) as caught:
            [event async for event in follow(service, JOB, patience=0.1)]
    assert caught.value.code is Code.REDIS_UNAVAILABLE
    assert len(asked) > 1


async def test_a_job_that_is_not_there_is_not_waited_for() -> None:
    async with answering(refusing(404, "job_not_found")) as (service, asked):
        with pytest.raises(RefusedError) as caught:
            [event async for event in follow(service, JOB)]
    assert (caught.value.code, caught.value.hint, len(asked)) == (Code.JOB_NOT_FOUND, "Wait.", 1)
