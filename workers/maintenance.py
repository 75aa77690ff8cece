"""What a worker does before its first job: it finishes what a dead one left behind."""

import asyncio
import logging
from dataclasses import replace

from app.cell.restoring.workspace import owed_containers
from app.engine.journal import recover
from app.errors import BackupError, Code, JobError, PartError
from app.jobs.lost import ended_as_lost
from app.jobs.records import Job, JobKind, JobState
from workers.regeneration.regenerating import regenerate_if_changed
from workers.restoring.putting_back import recover_restore
from workers.sole import working
from workers.tools import Tools

log = logging.getLogger("cell_backup.worker")

_PAUSE = 2.0


async def recover_cell(tools: Tools) -> None:
    """Let quiesced containers run again, remove partial files, and end the jobs that nobody works on any more.

    Holds the cell's lease meanwhile: so it waits until a dead worker's lease is over, and never disturbs a live one.
    """
    async with (
        tools.jobs.leases.hold(tools.cell, "recovery", on_lost=lambda: None),
        working(tools.settings.state_dir),
    ):
        restored = await tidy_up(tools)
        await _sweep(tools)
        begun = await tools.jobs.queue.forget_orphans()
        for job in await tools.jobs.store.active():
            if job.state is JobState.RUNNING or job.job_id in begun:
                await _end(tools, job, restored if job.kind is JobKind.RESTORE else None)
            else:
                await tools.jobs.queue.enqueue(job)  # its record may be all there is; a queued one stays as it is


async def tidy_up(tools: Tools, *, patient: bool = True) -> str | None:
    """Finish or put back a restore that was cut off, then let containers run again; say what came of the restore.

    A container whose volume is still to be put back stays held: its service must not see half a volume. Waits while
    another process restores the cell, or raises JobError CELL_BUSY where not `patient`.
    """
    restored = await _recover_restore(tools, patient=patient)
    owed = await asyncio.to_thread(owed_containers, tools.settings.cell_root)
    for line in await recover(tools.journal, tools.engine, leave=owed):
        log.warning("recovery: %s", line)
    return restored


async def regenerate_at_start(tools: Tools) -> None:
    """Do step 8 where the configuration is not the one that was applied last, as the only one who changes the cell."""
    async with (
        tools.jobs.leases.hold(tools.cell, "regeneration", on_lost=lambda: None),
        working(tools.settings.state_dir),
    ):
        await regenerate_if_changed(tools)


async def _recover_restore(tools: Tools, *, patient: bool) -> str | None:
    """Finish a restore that was cut off, or put the cell back; where that fails, every job says so until it is done."""
    try:
        for name in await tools.engine.sweep_helpers():
            log.warning("recovery: removed the helper container %s", name)
    except PartError as error:
        if error.code is not Code.ENGINE_UNREACHABLE:  # where no engine is, no helper is
            log.warning("recovery: %s", error.message)
    while True:
        try:
            said = await recover_restore(tools)
        except JobError as error:
            if error.code is Code.CELL_BUSY and not patient:
                raise
            if error.code is Code.CELL_BUSY:
                log.warning("recovery waits: %s", error.message)
                await asyncio.sleep(_PAUSE)
                continue
            log.error("recovery: %s %s", error.message, error.hint)  # noqa: TRY400 - expected, and said in full
            return error.message.removesuffix(".")
        if said is not None:
            log.warning("recovery: %s", said)
        return said


async def _sweep(tools: Tools) -> None:
    try:
        for name in await asyncio.to_thread(tools.store.sweep):
            log.warning("recovery: removed the unfinished file %s", name)
    except BackupError as error:  # the next backup will say so too, and in its record
        log.warning("recovery: %s", error.message)


async def _end(tools: Tools, job: Job, restored: str | None) -> None:
    ended = ended_as_lost(job)
    if restored is not None:
        ended = replace(ended, warnings=(*ended.warnings, f"After the worker died: {restored}."))
    await tools.jobs.store.update(ended)
    await tools.jobs.secrets.drop(job.job_id)
    log.warning("recovery: job %s ended as %s", job.job_id, Code.WORKER_LOST)
