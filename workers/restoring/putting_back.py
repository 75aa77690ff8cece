"""Undoing a restore that failed or was cut off: volumes from the safety archive, files from beside the cell."""

import asyncio
from contextlib import closing
from dataclasses import dataclass, replace

from cryptography.fernet import InvalidToken

from app.archive.outgoing import VolumeReader
from app.archive.parts import Part, PartOutcome, PartResult
from app.archive.reader import tar_stream
from app.archive.relay import Meter
from app.cell.manifests import Quiesce
from app.cell.restoring.workspace import Unfinished, unfinished
from app.cell.services import Volume
from app.errors import BackupError, Code, JobError, PartError
from workers.regeneration.regenerating import tell_again
from workers.restoring.volumes import VolumeTarget, VolumeWriter, containers_of, known_services
from workers.threads import Threads
from workers.tools import Tools

# the engine, or the way to it, was away: it may be there again
_MAY_PASS = {Code.ENGINE_UNREACHABLE, Code.STREAM_CUT, Code.STREAM_STALLED, Code.QUIESCE_FAILED}
# an engine that refuses to run something in a container that is just starting says no more than that
_PAUSES = (0.2, 1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Saved:
    """Say which archive holds what the restore replaced; `key` opens it, None for a plain one."""

    backup_id: str
    key: bytes | None


@dataclass(frozen=True, slots=True)
class PutBack:
    """Say what became of volumes: `lost` names those that cannot come back by themselves, and what to do about each."""

    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


async def put_volumes_back(tools: Tools, begun: list[Part], saved: Saved | None) -> PutBack:
    """Write the volumes that a restore began to replace out of its safety archive, equal to what they were.

    Each one that is settled leaves `begun`: put back, or lost, because trying again would not help. Raises JobError
    ROLLBACK_FAILED where trying again may help (the engine or the archive is away); those left in `begun` are owed.
    """
    if not begun:
        return PutBack()
    if saved is None:
        labels = ", ".join(part.label for part in begun)
        begun.clear()
        return PutBack(
            (f"{labels}: left as the restore had it when it ended, because no safety archive has the volumes.",)
        )
    threads = Threads()
    try:
        with closing(await threads.run(tools.store.open, saved.backup_id)) as file:
            reader = VolumeReader(tar_stream(file, saved.key), meter=Meter(), keep_going=threads.keep_going)
            return await _write_back(tools, begun, saved, VolumeWriter(tools, threads, reader))
    except BackupError as error:
        message = f"Volumes are not put back yet from the safety archive {saved.backup_id}: {error.message}"
        raise JobError(Code.ROLLBACK_FAILED, message) from error


async def _write_back(tools: Tools, begun: list[Part], saved: Saved, writer: VolumeWriter) -> PutBack:
    containers, away = await containers_of(tools)
    if away is not None:
        raise away
    services = await known_services(tools, Threads(), containers)
    held = {(volume.service, volume.name): volume.quiesce for item in services.found for volume in item.volumes}
    lost: list[str] = []
    warnings: list[str] = []
    owed: list[str] = []
    for part in list(begun):
        quiesce = held.get((part.service or "", part.name), Quiesce.NONE)
        volume = Volume(part.service or "", part.name, part.container or "", part.path or "", quiesce=quiesce)
        target = VolumeTarget(PartResult(part, PartOutcome.SUCCEEDED), volume, containers.get(volume.container))
        try:
            written = await _written(writer, target, part.prefix)
        except PartError as error:
            if error.code in _MAY_PASS:
                owed.append(f"{part.label}: {error.message}")
                continue
            lost.append(
                f"{part.label} could not be put back: {error.message} The safety archive {saved.backup_id} has it: "
                f"restore that with 'services': ['{part.service}']."
            )
        else:
            warnings += [f"{part.label}, put back: {warning}" for warning in written.warnings]
        begun.remove(part)
    if owed:
        raise PartError(Code.ENGINE_ERROR, " ".join([*owed, *lost]))
    return PutBack(tuple(lost), tuple(warnings))


async def _written(writer: VolumeWriter, target: VolumeTarget, prefix: str) -> PartResult:
    """Write one volume; a container that starts or restarts just now is tried again. Raises PartError."""
    for pause in _PAUSES:
        try:
            return await _written_over(writer, target, prefix)
        except PartError as error:
            if error.code is not Code.ENGINE_ERROR or writer.has_opened:
                raise
        await asyncio.sleep(pause)
    return await _written_over(writer, target, prefix)


async def _written_over(writer: VolumeWriter, target: VolumeTarget, prefix: str) -> PartResult:
    """Write one volume; what cannot be removed is written over: nothing else may be missing because of it."""
    try:
        return _whole(await writer.write(target, prefix))
    except PartError as error:
        if error.code is not Code.VOLUME_NOT_EMPTIED:
            raise
        warning = f"{error.message}; what the restore had brought may be left in it"
        written = _whole(await writer.write(replace(target, overlay=True), prefix))
        return replace(written, warnings=(warning, *written.warnings))


def _whole(written: PartResult) -> PartResult:
    if written.outcome is not PartOutcome.SUCCEEDED and written.error is not None:
        raise PartError(Code(written.error.code), written.error.message)
    return written


async def recover_restore(tools: Tools) -> str | None:
    """Finish or put back a restore whose process died, by its journal; say which, None where there was none.

    Raises JobError ROLLBACK_FAILED, or CELL_BUSY where the restore's process lives.
    """
    threads = Threads()
    async with threads.managed(unfinished(tools.settings.cell_root)) as left:
        if left is None:
            return None
        if left.committed:
            await threads.run(left.finish)
            return f"the restore of {left.backup_id} had been done, and was finished"
        done = await put_volumes_back(tools, list(left.volumes), _saved(tools, left))
        await threads.run(left.roll_back)
        await tell_again(tools)
        lost = "".join(f"; but {sentence.removesuffix('.')}" for sentence in done.lost)
        return f"the restore of {left.backup_id} was cut off, and the cell was put back as it was before{lost}"


def _saved(tools: Tools, left: Unfinished) -> Saved | None:
    if left.safety_id is None:
        return None
    try:
        key = None if left.safety_key is None else tools.seal.decrypt(left.safety_key.encode())
    except InvalidToken as error:
        message = f"The key of the safety archive {left.safety_id} was sealed by another instance of this service."
        hint = "Run the recovery with the CELL_BACKUP_STATE_DIR that the restore had."
        raise JobError(Code.ROLLBACK_FAILED, message, hint=hint) from error
    return Saved(left.safety_id, key)
