"""The way without tar: the engine's archive endpoint, for containers that are stopped, paused, or have no tar.

The path is asked for as `<path>/.`, so that the names come as `./`, `./a`, `./b/c`, the same form that
`tar -C <path> .` gives: nothing has to be rewritten. Links to hard links are `./…` too.

What the engine does not tell: sockets are left out without a word, xattrs other than `security.capability` are lost,
sparse files come with their holes as zeros, and a file that cannot be read or vanishes is left out without a word. A
file that shrinks while it is read ends the archive inside its member although the HTTP answer ends well: then `end`
says `resumable`. Sockets and changed files are named where the container runs and has `sh`, `find` and `stat`; of any
other container nothing can be known.
"""

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from app.engine.base import ReadEnd, Way
from app.engine.client import refused
from app.engine.connection import Connection
from app.engine.endpoint import Endpoint
from app.engine.tar_command import FINE_FACTS
from app.errors import Code, PartError

_END_OF_ARCHIVE = 1024


class ArchiveStream:
    """Carry one volume as the engine packs it; reading follows the Protocol `VolumeStream`."""

    def __init__(
        self,
        endpoint: Endpoint,
        container: str,
        path: str,
        *,
        stall_seconds: float,
        running: bool,
        look: Callable[[], Awaitable[tuple[str, ...]]],
    ) -> None:
        self._container = container
        self._path = path
        self._running = running
        self._look = look
        self._connection = Connection(endpoint, container, stall_seconds=stall_seconds)
        self._answer: http.client.HTTPResponse | None = None
        self._last = b""
        self._failure: PartError | None = None

    @property
    def way(self) -> Way:
        """Say how the volume is read."""
        return Way.ARCHIVE

    @property
    def loses(self) -> str | None:
        """Say what the engine does not carry."""
        return (
            f"{FINE_FACTS} are not kept: the engine's archive endpoint, which read this volume, has no place for them"
        )

    async def open(self, api_version: str) -> None:
        """Ask for the archive; raise PartError, VOLUME_MISSING where the path is not there."""
        query = urlencode({"path": f"{self._path.rstrip('/')}/."})
        await asyncio.to_thread(self._ask, f"/{api_version}/containers/{self._container}/archive?{query}")

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the archive goes, blocking; 0 at its end; raises as the Protocol says."""
        assert self._answer is not None, "open() comes first"
        if self._failure is not None:
            raise self._failure
        with self._connection.reading():
            try:
                got = self._answer.readinto(buffer)
                missing = not got and bool(self._answer.length)
            except http.client.IncompleteRead as error:
                got, missing = len(error.partial), True
            self._connection.check()
        if missing:
            self._failure = PartError(Code.STREAM_CUT, f"The archive of {self._container} was cut off")
            if not got:
                raise self._failure
        self._last = (self._last + buffer[max(0, got - _END_OF_ARCHIVE) : got])[-_END_OF_ARCHIVE:]
        return got

    def abort(self) -> None:
        """End a blocked `read_into` from any thread."""
        self._connection.abort()

    async def end(self) -> ReadEnd:
        """Say what is known of how it ended; a file that shrank in a running container makes it `resumable`."""
        warnings = await self._look()
        whole = len(self._last) == _END_OF_ARCHIVE and not any(self._last)
        if whole or not self._running:
            return ReadEnd(None, warnings)
        return ReadEnd(None, (*warnings, "a file shrank while it was read, which ended the archive"), resumable=True)

    def close(self) -> None:
        """Cut the connection."""
        self._connection.close()
        if self._answer is not None:
            self._answer.close()

    def _ask(self, target: str) -> None:
        self._connection.open()
        with self._connection.reading():
            request = f"GET {target} HTTP/1.1\r\nHost: docker\r\nAccept-Encoding: identity\r\n\r\n"
            self._connection.socket.sendall(request.encode("ascii"))
            self._answer = http.client.HTTPResponse(self._connection.socket, method="GET")
            try:
                self._answer.begin()
            except http.client.HTTPException as error:
                raise PartError(Code.STREAM_CUT, f"The engine gave no archive of {self._container}: {error}") from error
            if self._answer.status != 200:
                raise self._refused(self._answer.status, self._answer.read(4096))

    def _refused(self, status: int, body: bytes) -> PartError:
        try:
            message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = body.decode(errors="replace")
        if "Could not find the file" in message or "not a directory" in message:
            return PartError(Code.VOLUME_MISSING, f"There is no directory {self._path} in {self._container}")
        return refused(status, message, self._container)
