"""What happens to every request: an id, a line in the log, a bounded body, headers, and no error that gets away.

Pure ASGI: wrapping middlewares would put streams and downloads through queues.
"""

import logging
import time
import uuid
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import REQUEST_ID, answer
from app.errors import Code
from app.logs import bound

MAX_BODY = 64 * 1024
# no strict-transport-security: only the proxy that speaks https for this service knows whether http is given up
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_access = logging.getLogger("app.access")
_log = logging.getLogger(__name__)


class RequestLog:
    """Give each request an id and write one line when it has been answered: no query, no header, no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[REQUEST_ID] = str(uuid.uuid4())
        with bound(request_id=scope[REQUEST_ID]):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = scope[REQUEST_ID]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            milliseconds = (time.monotonic() - began) * 1000
            # quoted, because a path may hold line breaks
            _access.info("%s %s %d %.1f ms", scope["method"], quote(scope["path"]), status, milliseconds)


class SecurityHeaders:
    """Add the headers that keep browsers from guessing, framing, caching and telling others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class LastResort:
    """Answer an unforeseen error with a bare problem document and log it once, under the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            if started:
                # only the server can cut the connection, so that the client sees a broken answer as broken
                raise
            _log.exception("a request failed: %s %s", scope["method"], quote(scope["path"]))
            await answer(scope, Code.INTERNAL)(scope, receive, send)


class BodyLimit:
    """Refuse a body above `limit` bytes with 413, whether or not it says how long it is.

    A request of the method and below the path that are `unlimited` is read as a stream, by whoever serves it.
    """

    def __init__(self, app: ASGIApp, *, limit: int, unlimited: tuple[str, str] | None = None) -> None:
        self._app = app
        self._limit = limit
        self._unlimited = unlimited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or self._is_unlimited(scope):
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self._limit:
            await answer(scope, Code.BODY_TOO_LARGE)(scope, receive, send)
            return
        taken = 0

        async def receive_some() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_some, send)

    def _is_unlimited(self, scope: Scope) -> bool:
        if self._unlimited is None:
            return False
        method, below = self._unlimited
        return bool(scope["method"] == method and scope["path"].startswith(below))
