"""The good way to write: a volume as a tar in a container extracts it."""

import asyncio
from dataclasses import replace

from app.archive.dialects import Dialect
from app.engine.base import Way, WriteEnd
from app.engine.exec_stream import ExecProcess
from app.engine.flushing import Flush
from app.engine.hands import Hands
from app.engine.write_words import WriteWords
from app.errors import Code, PartError


class TarSink:
    """Hand one volume to a running tar; writing follows the Protocol `VolumeSink`."""

    def __init__(
        self,
        process: ExecProcess,
        words: WriteWords,
        hands: Hands,
        flush: Flush,
        *,
        plain: bool,
        spared: tuple[str, ...],
    ) -> None:
        self._process = process
        self._words = words
        self._tar = hands.tar
        self._container = hands.target
        self._way = Way.EXEC if hands.container == hands.target else Way.HELPER
        self._flush = flush
        self._plain = plain
        self._spared = spared
        self._failure: PartError | None = None
        self._cut = False

    @property
    def way(self) -> Way:
        """Say in which container tar runs."""
        return self._way

    @property
    def dialect(self) -> Dialect:
        """Say which headers this tar understands."""
        return self._tar.dialect

    @property
    def plain(self) -> bool:
        """Say whether this tar takes the prefix off the names."""
        return self._plain

    @property
    def loses(self) -> str | None:
        """Say what this tar does not write."""
        return self._tar.loses_writing

    @property
    def spared(self) -> tuple[str, ...]:
        """Name the mounts in the volume that cannot be replaced."""
        return self._spared

    def write(self, data: bytes | memoryview) -> None:
        """Hand over all of the data, blocking; raises as the Protocol says.

        Zeros that come after tar has ended are the padding behind the archive's end, and nothing is lost with them.
        """
        try:
            taken = self._process.write(data, self._words.feed)
        except PartError as error:
            self._failure = error
            raise
        if taken < len(data) and bytes(data[taken:]).strip(b"\0"):
            self._cut = True
            raise PartError(Code.STREAM_CUT, f"tar in {self._container} ended before everything was written")

    def abort(self) -> None:
        """End a blocked `write` from any thread."""
        self._process.abort()

    async def end(self) -> WriteEnd:
        """Say how tar ended, by its exit code and words; raises as the Protocol says."""
        if self._failure is not None:
            raise self._failure
        await asyncio.to_thread(self._process.finish, self._words.feed)
        end = self._words.judge(await self._process.exit_code())
        if self._cut:
            raise PartError(Code.STREAM_CUT, f"tar in {self._container} ended well, but before everything was written")
        return replace(end, warnings=(*end.warnings, *await self._flush()))
