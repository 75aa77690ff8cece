"""Calls of something that is not the service, and downloads that break off."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from app.client.files import download
from app.client.place import Place
from app.client.service import Service, connected
from app.errors import ArchiveError, Code, UnavailableError
from tests.unit.client.test_following import Answer

CONTENT = bytes(range(256)) * 5000
TAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Service]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with connected(Place(f"http://{host}:{port}", "token")) as service:
            yield service
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("text", ["<html>", "[]", '{"code": "of a newer service", "detail": "x", "hint": "y"}'])
async def test_what_is_no_answer_of_the_service_is_said_so(text: str) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=502, text=text)

    async with serving(answer) as service:
        with pytest.raises(UnavailableError) as caught:
            await service.get("/api/jobs")
    assert caught.value.code is Code.SERVICE_UNREACHABLE
    assert "502" in caught.value.message


async def test_the_token_follows_no_redirect() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with serving(answer) as service:
        with pytest.raises(UnavailableError):
            await service.get("/api/jobs")
    assert asked == ["/api/jobs"]


def cutting(asked: list[str | None], *, etag: str = TAG, whole: bool = False) -> Answer:
    """Serve the content, the first time only half of it; with `whole`, ranges are not heeded."""

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Range"))
        begin = 0 if whole or asked[-1] is None else int(asked[-1].removeprefix("bytes=").removesuffix("-"))
        response = web.StreamResponse(status=206 if begin else 200, headers={"ETag": etag})
        response.content_length = len(CONTENT) - begin
        await response.prepare(request)
        end = len(CONTENT) // 2 if len(asked) == 1 else len(CONTENT)
        await response.write(CONTENT[begin:end])
        if end != len(CONTENT) and request.transport is not None:
            request.transport.close()
        return response

    return answer


async def fetched(answer: Answer) -> bytes:
    got = bytearray()
    async with serving(answer) as service:
        size = await download(service, "x", got.extend, lambda _: None)
    assert size == len(got)
    return bytes(got)


async def test_a_download_goes_on_where_it_broke_off() -> None:
    asked: list[str | None] = []
    assert await fetched(cutting(asked)) == CONTENT
    assert asked == [None, f"bytes={len(CONTENT) // 2}-"]


@pytest.mark.parametrize(("etag", "whole"), [('"' + "0" * 64 + '"', False), (TAG, True), ('"odd"', True)])
async def test_what_is_not_the_archive_is_refused(etag: str, *, whole: bool) -> None:
    with pytest.raises(ArchiveError) as caught:
        await fetched(cutting([], etag=etag, whole=whole))
    assert caught.value.code is Code.ARCHIVE_DAMAGED
