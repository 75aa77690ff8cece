"""Calls of the service: a request, its answer as JSON, and every refusal as an error."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from app import __version__
from app.client.place import Place
from app.client.problems import reaching, refusal

_CONNECT_SECONDS = 10
_SILENCE_SECONDS = 600  # contents of a large archive are read from its beginning before the first byte comes


class Service:
    """Call one service; open it by `connected`.

    Every call raises UnavailableError where the service or what it needs is away, else what the service refuses:
    RefusedError, or JobError for what went wrong inside it.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Get a JSON document."""
        return await self.ask("GET", path, params=params)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        expect: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        """Send one request and give the JSON of its answer; an empty object where it has none.

        `expect` names statuses that are answers too, though they look like errors.
        """
        async with self.open(method, path, expect=expect, json=body, params=params) as answer:
            with reaching(self.url):
                told: dict[str, Any] = {} if answer.status == 204 else await answer.json()
        return told

    @asynccontextmanager
    async def open(
        self, method: str, path: str, *, expect: tuple[int, ...] = (), **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and give its answer while its body is read."""
        with reaching(self.url):
            # the token goes nowhere else: no redirect is followed
            answer = await self._session.request(method, self.url + path, allow_redirects=False, **options)
        async with answer:
            if answer.status >= 300 and answer.status not in expect:
                with reaching(self.url):
                    error = await refusal(answer)
                raise error
            yield answer


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Service]:
    """Give the service, to be called while the block runs."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
    headers = {"Authorization": f"Bearer {place.token}", "User-Agent": f"cell-backup/{__version__}"}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Service(session, place.url)
