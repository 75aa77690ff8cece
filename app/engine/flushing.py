"""Seeing on the disk what was written to a directory in a running container."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from app.engine.client import Client
from app.engine.hands import Hands
from app.engine.look import ask
from app.engine.shield import see_through
from app.engine.tar_words import readable
from app.errors import Code, PartError

_SECONDS = 3600.0
_ALL_SECONDS = 600.0
_PERIOD_SECONDS = 1.0
_WORDS_LIMIT = 1000
_REFUSED, _UNABLE, _NO_ANSWER = 3, 4, -1
# GNU's `sync` says so where a disk refuses, in words that depend on disk and file system; busybox's does not ask.
_SYNC = (
    'said=$(sync -f "$@" 2>&1); code=$?; test $code -ne 0 || exit 0; case "$said" in'
    f' *"Input/output error"*|*"No space left"*|*"quota exceeded"*) code={_REFUSED};;'
    f' *"Function not implemented"|*"Operation not permitted"|*"Invalid argument") code={_UNABLE};;'
    f' *"error syncing"*) code={_REFUSED};; *) test $code -ge 126 || code={_UNABLE};; esac;'
    ' printf "%s\\n" "$said"; exit $code'
)
# One that knows nothing but all disks, or may not ask for a single one: another disk may hang.
_SYNC_ALL = ["sync"]
_NOT_KNOWN = "whether the disk has what was written is not known"

# waits until the disks have what was written, and gives warnings
Flush = Callable[[], Awaitable[tuple[str, ...]]]


async def cannot_flush() -> tuple[str, ...]:
    """Give the warning of a volume that nothing can flush."""
    return (f"{_NOT_KNOWN}: nothing in a running container can tell",)


class Flushing:
    """Flush the directories of one volume: now and then while it is written, and for the last time."""

    def __init__(self, client: Client, hands: Hands, paths: Sequence[str]) -> None:
        self._client = client
        self._hands = hands
        self._paths = paths
        self._is_written = asyncio.Event()

    async def meanwhile(self) -> int:
        """Flush every second until the last time has come, so that little is left to wait for; stop at what is not 0.

        The kernel tells one who asks that a disk has failed, and not the next one: so nothing that it says may be lost.
        Raises PartError VOLUME_INCOMPLETE where a disk refuses what was written.
        """
        code = 0
        while code == 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PERIOD_SECONDS):
                    await self._is_written.wait()
                    return 0
            try:
                code = await self._sync()
            except PartError as error:
                if error.code is Code.VOLUME_INCOMPLETE:
                    raise
                return _NO_ANSWER
        return code

    async def at_last(self, meanwhile: Awaitable[int]) -> tuple[str, ...]:
        """Wait until the disks have what was written; give a warning where that is not known.

        Raises PartError: VOLUME_INCOMPLETE where a disk refuses it, STREAM_CUT where one or the engine gives no answer.
        """
        self._is_written.set()
        before = await meanwhile
        code = last = await self._sync()
        try:
            if last == _UNABLE:
                async with asyncio.timeout(_ALL_SECONDS):
                    code, _ = await self._ask(_SYNC_ALL)
        except TimeoutError:
            return (self._not_known("waits for a disk, which may be another one"),)
        if code:
            return (self._not_known(f"ended with {code}"),)
        return () if before in {0, last} else (self._not_known("failed once before it did not"),)

    async def _sync(self) -> int:
        code, words = await self._ask(["sh", "-c", _SYNC, "sh", *self._paths])
        if code == _REFUSED:
            refusal = readable(words.strip())[:_WORDS_LIMIT]
            message = f"The disk refuses what was written to {self._hands.target}: {refusal}"
            raise PartError(Code.VOLUME_INCOMPLETE, message)
        return code

    async def _ask(self, command: list[str]) -> tuple[int, str]:
        try:
            return await ask(self._client, self._hands.container, command, seconds=_SECONDS, has_shell=True)
        except PartError as error:
            where = f"{self._paths[0]} in {self._hands.target}"
            message = f"Whether the disk has what was written to {where} is not known: {error.message}"
            raise PartError(Code.STREAM_CUT, message) from error

    def _not_known(self, why: str) -> str:
        return f"{_NOT_KNOWN}: 'sync' in {self._hands.container} {why}"


@contextlib.asynccontextmanager
async def flushing(client: Client, hands: Hands, paths: Sequence[str]) -> AsyncIterator[Flush]:
    """Flush the directories now and then while the block runs; what it is given does so for the last time, and raises.

    Leaving the block ends what still runs.
    """
    flush = Flushing(client, hands, paths)
    meanwhile = asyncio.create_task(flush.meanwhile())
    try:
        yield lambda: flush.at_last(meanwhile)
    finally:
        meanwhile.cancel()
        await see_through(_over(meanwhile))


async def _over(task: asyncio.Task[int]) -> None:
    await asyncio.gather(task, return_exceptions=True)
