"""The way without tar: a volume as the engine's archive endpoint unpacks it.

What the engine does not write: ACLs, attributes without a value, holes, and times before 1970. A link that leads out of
the volume by `..` it refuses, and with it the whole volume. The directory itself it leaves as it is, so that is set
afterwards from the stream's own `./`.
"""

import asyncio
import http.client
import json
import posixpath
from urllib.parse import urlencode

from app.archive.dialects import Dialect
from app.engine.archive_room import Room, first_member, set_facts
from app.engine.base import Way, WriteEnd
from app.engine.client import Client
from app.engine.connection import Connection
from app.engine.flushing import Flush
from app.engine.target import Target
from app.errors import Code, PartError

_HEAD_SIZE = 1 << 16
_LAST_CHUNK = b"0\r\n\r\n"


class ArchiveSink:
    """Hand one volume to the engine over a chunked request; writing follows the Protocol `VolumeSink`."""

    def __init__(
        self,
        client: Client,
        target: Target,
        path: str,
        room: Room,
        *,
        stall_seconds: float,
        flush: Flush,
        spared: tuple[str, ...] = (),
    ) -> None:
        self._client = client
        self._target = target
        self._path = path
        self._room = room
        self._flush = flush
        self._spared = spared
        self._connection = Connection(client.endpoint, target.name, stall_seconds=stall_seconds)
        self._head = b""
        self._failure: PartError | None = None
        self._cut = False

    @property
    def way(self) -> Way:
        """Say how the volume is written."""
        return Way.ARCHIVE

    @property
    def dialect(self) -> Dialect:
        """Say which headers the engine understands."""
        return Dialect.GO

    @property
    def plain(self) -> bool:
        """Say that names have no prefix."""
        return False

    @property
    def loses(self) -> str | None:
        """Say what the engine does not write."""
        return (
            "ACLs, attributes without a value, holes and times before 1970 are not written: the engine's archive"
            " endpoint, which wrote this volume, cannot"
        )

    @property
    def spared(self) -> tuple[str, ...]:
        """Name the mounts in the volume that cannot be replaced."""
        return self._spared

    async def open(self, *, overlay: bool) -> None:
        """Begin the request; raise PartError ENGINE_UNREACHABLE."""
        query = {"path": self._path, "noOverwriteDirNonDir": "1"} if overlay else {"path": self._path}
        version = await self._client.api_version()
        await asyncio.to_thread(self._ask, f"/{version}/containers/{self._target.name}/archive?{urlencode(query)}")

    def write(self, data: bytes | memoryview) -> None:
        """Hand over all of the data, blocking; raises as the Protocol says.

        Zeros that come after the engine's answer are the padding behind the archive's end: nothing is lost with them.
        """
        view = memoryview(data).cast("B")
        if not view or self._cut:
            return
        self._head += view[: _HEAD_SIZE - len(self._head)]
        try:
            with self._connection.writing():
                whole = self._push(b"%x\r\n" % len(view)) and self._push(view) and self._push(b"\r\n")
        except PartError as error:
            self._failure = error
            raise
        if not whole and bytes(view).strip(b"\0"):
            self._cut = True
            raise PartError(
                Code.STREAM_CUT, f"The engine stopped unpacking in {self._target.name} before everything was written"
            )

    def abort(self) -> None:
        """End a blocked `write` from any thread."""
        self._connection.abort()

    async def end(self) -> WriteEnd:
        """Say how the engine answered; raises as the Protocol says."""
        if self._failure is not None:
            raise self._failure
        await asyncio.to_thread(self._finish)
        return WriteEnd(None, (*await self._set_facts(), *await self._flush()))

    def close(self) -> None:
        """Cut the connection; the engine then stops unpacking."""
        self._connection.close()

    def _push(self, data: bytes | memoryview) -> bool:
        """Send; an answer that comes meanwhile stops it."""
        return self._connection.push(data, lambda: False) == len(data)

    def _ask(self, target: str) -> None:
        self._connection.open()
        head = (
            f"PUT {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        with self._connection.writing():
            self._push(head.encode("ascii"))

    def _finish(self) -> None:
        with self._connection.reading():
            if not self._cut:
                self._push(_LAST_CHUNK)
            answer = http.client.HTTPResponse(self._connection.socket, method="PUT")
            try:
                answer.begin()
                status, body = answer.status, answer.read(4096)
            except http.client.HTTPException as error:
                self._connection.check()
                message = f"The engine did not say how writing to {self._target.name} ended: {error}"
                raise PartError(Code.STREAM_CUT, message) from error
            finally:
                answer.close()
        if status != 200:
            raise self._refused(body)
        if self._cut:
            message = f"The engine unpacked in {self._target.name} without an error, but not everything"
            raise PartError(Code.STREAM_CUT, message)

    def _refused(self, body: bytes) -> PartError:
        try:
            message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = body.decode(errors="replace")
        if "no space left on device" in message or "disk quota exceeded" in message:
            return PartError(Code.VOLUME_FULL, f"{self._path} in {self._target.name} is full: {message}")
        words = f"The engine could not write {self._path} in {self._target.name}: {message}"
        return PartError(Code.TAR_FAILED, words)

    async def _set_facts(self) -> tuple[str, ...]:
        facts, _ = first_member(self._head)
        if facts is None or posixpath.normpath(facts.name) != ".":
            return ()
        try:
            if self._room.itself is not None:
                await set_facts(self._client, self._target, self._path, facts)
                return ()
            why = "it is reached by a link"
        except PartError as error:
            why = error.message
        return (f"owner, mode and time of {self._path} itself were not set: {why}",)
