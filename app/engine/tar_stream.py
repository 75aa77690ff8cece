"""The fast way: a volume as the container's own tar writes it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from app.engine.base import ReadEnd, Way
from app.engine.exec_stream import ExecProcess
from app.engine.tar_words import TarWords


class TarStream:
    """Carry one volume from a running tar; reading follows the Protocol `VolumeStream`."""

    def __init__(
        self,
        process: ExecProcess,
        words: TarWords,
        *,
        loses: str | None,
        look: Callable[[], Awaitable[tuple[str, ...]]],
    ) -> None:
        self._process = process
        self._words = words
        self._look = look
        self._loses = loses

    @property
    def loses(self) -> str | None:
        """Say what this tar does not carry."""
        return self._loses

    @property
    def way(self) -> Way:
        """Say how the volume is read."""
        return Way.EXEC

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as tar's output goes, blocking; 0 at its end; raises as the Protocol says."""
        return self._process.read_into(buffer)

    def abort(self) -> None:
        """End a blocked `read_into` from any thread."""
        self._process.abort()

    async def end(self) -> ReadEnd:
        """Say how tar ended, by its exit code and words; raises as the Protocol says."""
        end = self._words.judge(await self._process.exit_code())
        return replace(end, warnings=(*end.warnings, *await self._look()))
