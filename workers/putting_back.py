"""Undoing a restore that failed or was cut off: volumes from the safety archive, files from beside the cell."""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from cryptography.fernet import InvalidToken

from app.archive.outgoing import VolumeReader
from app.archive.parts import Part, PartOutcome, PartResult
from app.archive.reader import tar_stream
from app.archive.relay import Meter
from app.cell.restoring.workspace import Unfinished, unfinished
from app.errors import BackupError, Code, JobError, PartError
from workers.restore_volumes import VolumeTarget, VolumeWriter, containers_of, known_services, target_of
from workers.threads import Threads
from workers.tools import Tools

log = logging.getLogger("cell_backup.worker")


@dataclass(frozen=True, slots=True)
class Saved:
    """Say which archive holds what the restore replaced; `key` opens it, None for a plain one."""

    backup_id: str
    key: bytes | None


async def put_volumes_back(tools: Tools, begun: Sequence[Part], saved: Saved | None) -> None:
    """Write the volumes that a restore began to replace out of its safety archive, equal to what they were.

    Raises JobError ROLLBACK_FAILED; then the volumes it names are not as they were.
    """
    if not begun:
        return
    labels = ", ".join(part.label for part in begun)
    if saved is None:
        message = f"{labels}: left as the restore had it when it ended, because no safety archive has the volumes."
        raise JobError(Code.ROLLBACK_FAILED, message, hint="Restore these services again, from this or another backup.")
    threads = Threads()
    try:
        with closing(await threads.run(tools.store.open, saved.backup_id)) as file:
            reader = VolumeReader(tar_stream(file, saved.key), meter=Meter(), keep_going=threads.keep_going)
            writer = VolumeWriter(tools, threads, reader)
            containers, away = await containers_of(tools)
            if away is not None:
                raise away
            services = await known_services(tools, threads, containers)
            for part in begun:
                result = PartResult(part, PartOutcome.SUCCEEDED)
                target = VolumeTarget(
                    result, target_of(result, services, containers), containers.get(part.container or "")
                )
                written = await writer.write(target, part.prefix)
                if written.outcome is not PartOutcome.SUCCEEDED and written.error is not None:
                    raise PartError(Code.ENGINE_ERROR, f"{part.label}: {written.error.message}")
    except BackupError as error:
        message = f"{labels}: not put back from the safety archive {saved.backup_id}: {error.message}"
        raise JobError(Code.ROLLBACK_FAILED, message) from error


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
        saved, lost = _saved(tools, left), ""
        try:
            await put_volumes_back(tools, left.volumes, saved)
        except JobError as error:
            if saved is not None:
                raise
            # they cannot come back, ever: the files still do
            lost = f", but for volumes: {error.message.removesuffix('.')}"
        await threads.run(left.roll_back)
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
