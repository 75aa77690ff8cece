"""The volumes of a restore: which containers they go to, and writing them there."""

import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.archive.outgoing import VolumeReader
from app.archive.parts import Part, PartOutcome, PartResult, fault_of
from app.cell.manifests import Quiesce, container_path
from app.cell.services import Services, Volume, find_services
from app.engine.base import Container, VolumeSink, WriteEnd
from app.engine.journal import Hold, quiesced
from app.engine.shield import see_through
from app.errors import Code, PartError
from workers.threads import Threads
from workers.tools import Tools

# what these say is known before anything in the volume has changed
_UNTOUCHED = {Code.CONTAINER_MISSING, Code.VOLUME_MISSING, Code.ENGINE_UNREACHABLE}
_MAX_WARNINGS = 100


@dataclass(frozen=True, slots=True)
class VolumeTarget:
    """Say where a volume of the archive goes; `overlay` keeps what is there already."""

    saved: PartResult
    volume: Volume
    container: Container | None
    free: int | None = None
    used: int | None = None
    overlay: bool = False

    @property
    def part(self) -> Part:
        """Name the part as the archive does, with the container it goes to."""
        return replace(self.saved.part, container=self.volume.container, path=self.volume.path)


def target_of(saved: PartResult, services: Services, containers: Mapping[str, Container]) -> Volume:
    """Find where a part of the archive goes: what this cell's own manifest says, else what the archive says.

    The archive's container is taken where the manifest's is not there. How a container is held still is always what the
    manifest says. Raises PartError VOLUME_MISSING for a path that no archive of ours has.
    """
    part = saved.part
    known = {(volume.service, volume.name): volume for service in services.found for volume in service.volumes}
    here = known.get((part.service or "", part.name))
    if here is not None and (here.container in containers or part.container not in containers):
        return here
    try:
        path = container_path(part.path or "")
    except ValueError as error:
        message = f"The archive says that {part.label} was at {part.path!r}: {error}."
        raise PartError(Code.VOLUME_MISSING, message) from error
    quiesce = Quiesce.NONE if here is None else here.quiesce
    return Volume(part.service or "", part.name, part.container or "", path, quiesce=quiesce)


async def known_services(tools: Tools, threads: Threads, containers: Mapping[str, Container]) -> Services:
    """Read the services that the cell has now."""
    labels = {name: container.labels for name, container in containers.items()}
    return await threads.run(find_services, tools.settings.cell_root, labels)


async def containers_of(tools: Tools) -> tuple[Mapping[str, Container], PartError | None]:
    """List the cell's containers by name, or say why that cannot be had."""
    try:
        return {container.name: container for container in await tools.engine.containers()}, None
    except PartError as error:
        return {}, error


class VolumeWriter:
    """Write volumes out of an archive into their containers, in the archive's order.

    `undo` runs where writing one fails, while its container is still held: no service sees a half-written volume.
    """

    def __init__(
        self,
        tools: Tools,
        threads: Threads,
        reader: VolumeReader,
        undo: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._tools = tools
        self._threads = threads
        self._reader = reader
        self._undo = undo
        self._sink: VolumeSink | None = None
        self._end: WriteEnd | None = None
        self._refused: PartError | None = None

    @property
    def has_opened(self) -> bool:
        """Tell whether the last volume could be written to; then its turn in the archive is over."""
        return self._sink is not None

    async def write(self, target: VolumeTarget, prefix: str) -> PartResult:
        """Write one volume; give its result where nothing in it has changed, or all is as in the archive.

        One that is written whole, but whose container could not be let run again, has succeeded with an error. Raises
        PartError where it is left half written.
        """
        started = time.monotonic()
        warned, left_out = len(self._reader.warnings), len(self._reader.left_out)
        self._sink, self._end, self._refused = None, None, None
        error: PartError | None = None
        try:
            await self._write(target, prefix)
        except PartError as fault:
            error = fault
        if self._refused is not None:
            return replace(_empty(target.part), outcome=PartOutcome.FAILED, error=fault_of(error or self._refused))
        end, sink = self._end, self._sink
        if end is None or sink is None:
            assert error is not None
            raise error
        missing = self._reader.left_out[left_out:]
        if missing and error is None:
            message = f"{len(missing)} members of {target.part.label} could not be written, the first is {missing[0]}."
            error = PartError(Code.VOLUME_INCOMPLETE, message)
        return replace(
            _empty(target.part),
            outcome=PartOutcome.SUCCEEDED,
            files=target.saved.files,
            bytes=target.saved.bytes,
            seconds=round(time.monotonic() - started, 3),
            way=sink.way,
            exit_code=end.exit_code,
            warnings=(
                *end.warnings,
                *([sink.loses] if sink.loses else ()),
                *(f"{name} stays as it is: a mount in the volume, read-only or a single file" for name in sink.spared),
                *self._reader.warnings[warned:],
                *(f"{name} was left out" for name in missing),
            )[:_MAX_WARNINGS],
            error=None if error is None else fault_of(error),
        )

    async def _write(self, target: VolumeTarget, prefix: str) -> None:
        """Write while the container is held; what is refused before anything has changed is noted as such."""
        engine, volume = self._tools.engine, target.volume
        begun = False
        try:
            async with quiesced(engine, self._tools.journal, volume.container, volume.quiesce) as hold:
                try:
                    async with engine.write_volume(
                        volume.container, volume.path, empty=not target.overlay, plain=self._reader.is_plain(prefix)
                    ) as sink:
                        begun = True
                        self._sink = sink
                        self._end = await self._copy(sink, prefix, parents=target.overlay)
                except PartError as error:
                    begun = begun or error.code not in _UNTOUCHED
                    if begun:
                        await self._undone(hold)
                    raise
                except BaseException:
                    begun = True  # it may have been emptied already
                    await self._undone(hold)
                    raise
        except PartError as error:
            if not begun:
                self._refused = error
            raise

    async def _undone(self, hold: Hold) -> None:
        """Undo while the container is held; where that fails it stays held, until somebody can undo it."""
        if self._undo is None:
            return
        hold.stay = True
        await see_through(self._let_go_once_undone(self._undo, hold))

    async def _let_go_once_undone(self, undo: Callable[[], Coroutine[Any, Any, None]], hold: Hold) -> None:
        await undo()
        hold.stay = False  # also where the job was told to end meanwhile

    async def _copy(self, sink: VolumeSink, prefix: str, *, parents: bool) -> WriteEnd:
        try:
            reader = self._reader
            plain = sink.plain
            spared = [f"{prefix}{name}" for name in sink.spared]
            pieces = (
                reader.plain_volume(prefix)
                if plain
                else reader.volume(prefix, sink.dialect, leave_out=spared, parents=parents)
            )
            await self._threads.run_with_abort(sink.abort, _pump, pieces, sink, self._threads.keep_going)
        except PartError as error:
            if error.code is Code.STREAM_CUT:
                await sink.end()  # tar's own words say more
            raise
        return await sink.end()


def _pump(pieces: Iterable[bytes | memoryview], sink: VolumeSink, keep_going: Callable[[], None]) -> None:
    for piece in pieces:
        keep_going()
        sink.write(piece)


def _empty(part: Part) -> PartResult:
    return PartResult(part, PartOutcome.RUNNING)


def skipped(part: Part, error: PartError, outcome: PartOutcome = PartOutcome.SKIPPED) -> PartResult:
    """Say why a part is not restored."""
    return PartResult(part, outcome, error=fault_of(error))


def not_here(part: Part, containers: Sequence[str]) -> PartError:
    """Say that the container of a volume does not exist on this machine."""
    there_are = f"there are {', '.join(containers)}" if containers else "this machine has no container of a cell"
    return PartError(
        Code.CONTAINER_MISSING,
        f"There is no container {part.container} for {part.label}; {there_are}.",
        hint="Start the service ('make restart'), then restore again with its name in 'services'.",
    )
