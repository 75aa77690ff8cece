"""Saves one part of a cell, and turns whatever happens to it into that part's result."""

import time
from collections.abc import Callable

from app.archive.files import FileMembers
from app.archive.parts import Part, PartFault, PartOutcome, PartResult, fault_of
from app.archive.relay import TarRelay
from app.archive.writer import ArchiveWriter
from app.cell.files import ComponentFiles
from app.cell.services import Volume
from app.engine.base import ReadEnd, VolumeStream
from app.engine.journal import quiesced
from app.engine.shield import see_through
from app.errors import Code, PartError
from workers.running import JobRun

_MAX_WARNINGS = 100
_MAX_READS = 20


async def save_component(run: JobRun, members: FileMembers, files: ComponentFiles, part: Part) -> PartResult:
    """Write a component's files; one that cannot be read fails the component, and the others are still saved."""
    started = time.monotonic()
    files_before, bytes_before = run.meter.files, run.meter.bytes
    warnings, faults, damaged_before = list(files.warnings), list(files.faults), len(members.damaged)
    await run.threads.run(_add_all, members, files, warnings, faults, run.threads.keep_going)
    return PartResult(
        part=part,
        outcome=PartOutcome.FAILED if faults else PartOutcome.SUCCEEDED,
        files=run.meter.files - files_before,
        bytes=run.meter.bytes - bytes_before,
        seconds=round(time.monotonic() - started, 3),
        warnings=_bounded([*warnings, *(fault.message for fault in faults[1:])]),
        damaged=tuple(members.damaged[damaged_before:]),
        error=_all_in_one(faults),
    )


def _add_all(
    members: FileMembers,
    files: ComponentFiles,
    warnings: list[str],
    faults: list[PartError],
    keep_going: Callable[[], None],
) -> None:
    for entry in files.entries:
        keep_going()
        try:
            if warning := members.add(entry):
                warnings.append(warning)
        except PartError as fault:
            faults.append(fault)


def _all_in_one(faults: list[PartError]) -> PartFault | None:
    if not faults:
        return None
    first = fault_of(faults[0])
    more = f" ({len(faults) - 1} more such errors)" if len(faults) > 1 else ""
    return PartFault(first.code, first.message + more, first.hint)


def _bounded(warnings: list[str]) -> tuple[str, ...]:
    if len(warnings) <= _MAX_WARNINGS:
        return tuple(warnings)
    return (*warnings[:_MAX_WARNINGS], f"and {len(warnings) - _MAX_WARNINGS} more")


class VolumeSaver:
    """Save one volume: hooks around it, its container quiesced if wanted, its tar stream relayed."""

    def __init__(self, run: JobRun, writer: ArchiveWriter, volume: Volume, part: Part) -> None:
        self._run = run
        self._volume = volume
        self._part = part
        self._relay: TarRelay = writer.relay(part.prefix, volume.exclude)
        self._warnings: list[str] = []
        self._end: ReadEnd | None = None
        self._way: str | None = None

    async def save(self) -> PartResult:
        """Save the volume and say how that went; a JobError is not the volume's and goes on."""
        started = time.monotonic()
        error: PartError | None = None
        try:
            await self._with_hooks()
        except PartError as fault:
            error = fault
            if not self._saved:
                await self._run.threads.run(self._relay.close_cut, self._run.threads.keep_going)
        if self._relay.damaged and self._saved:
            error = PartError(Code.STREAM_MALFORMED, f"{self._relay.damaged[0]} is damaged in the container's stream.")
        whole = self._saved and not self._relay.damaged
        return PartResult(
            part=self._part,
            outcome=PartOutcome.SUCCEEDED if whole else PartOutcome.FAILED,
            files=self._relay.files,
            bytes=self._relay.bytes,
            seconds=round(time.monotonic() - started, 3),
            way=self._way,
            exit_code=self._exit_code(error),
            warnings=_bounded([*self._warnings, *self._relay.warnings]),
            damaged=tuple(self._relay.damaged),
            error=None if error is None else fault_of(error),
        )

    @property
    def _saved(self) -> bool:
        return self._end is not None and not self._end.resumable

    def _exit_code(self, error: PartError | None) -> int | None:
        if self._end is not None:
            return self._end.exit_code
        return None if error is None else error.exit_code

    async def _with_hooks(self) -> None:
        """Run `pre`, save the volume while its container is quiesced, and run `post` whatever happened since `pre`."""
        volume, tools = self._volume, self._run.tools
        try:
            await self._hook("pre", volume.pre)
            async with quiesced(tools.engine, tools.journal, volume.container, volume.quiesce):
                await self._read()
        except BaseException:
            await see_through(self._post_after_failure())
            raise
        await self._hook("post", volume.post)

    async def _post_after_failure(self) -> None:
        try:
            await self._hook("post", self._volume.post)
        except PartError as error:
            self._warnings.append(error.message)

    async def _hook(self, name: str, command: tuple[str, ...]) -> None:
        """Run a command in the container; PartError HOOK_FAILED where it does not exit with 0."""
        if not command:
            return
        settings, container = self._run.tools.settings, self._volume.container
        result = await self._run.tools.engine.run(container, command, timeout_seconds=settings.hook_timeout)
        if result.exit_code != 0:
            words = result.output.strip() or "it said nothing"
            message = f"The {name} command of {self._part.label} ended with exit code {result.exit_code}: {words}"
            raise PartError(Code.HOOK_FAILED, message, exit_code=result.exit_code)

    async def _read(self) -> None:
        """Read the volume, again from the next file on where its tar gave up over a file that shrank."""
        volume, threads = self._volume, self._run.threads
        for _ in range(_MAX_READS):
            async with self._run.tools.engine.read_volume(
                volume.container, volume.path, exclude=volume.exclude
            ) as stream:
                self._end = await self._copy(stream)
            if not self._end.resumable:
                return
            await threads.run(self._relay.resume, threads.keep_going)
        raise PartError(Code.TAR_FAILED, f"Files of {self._part.label} shrank while they were read, again and again.")

    async def _copy(self, stream: VolumeStream) -> ReadEnd:
        threads = self._run.threads
        if self._way is None and stream.loses is not None:
            self._warnings.append(stream.loses)
        self._way = stream.way
        await threads.run_with_abort(stream.abort, self._relay.copy, stream, threads.keep_going)
        end = await stream.end()
        self._warnings.extend(end.warnings)
        if not end.resumable and not self._relay.whole:
            message = f"The stream of {self._part.label} ended without its end-of-archive blocks."
            raise PartError(Code.STREAM_CUT, message, exit_code=end.exit_code)
        return end
