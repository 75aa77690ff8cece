"""What a dead worker left behind is finished, put back or ended: at a worker's start, and whenever one is missed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from app.cell.restoring.workspace import owed_containers
from app.engine.journal import recover
from app.errors import BackupError, Code, JobError, PartError
from app.jobs.base import Lease
from app.jobs.lost import ended_as_lost, is_left
from app.jobs.records import Job, JobKind, JobState
from workers.published import as_published
from workers.regeneration.regenerating import regenerate_if_changed
from workers.restoring.putting_back import recover_restore
from workers.tools import Tools

log = logging.getLogger("cell_backup.worker")

_PAUSE = 2.0


async def recover_cell(tools: Tools) -> None:
    """Let quiesced containers run again, remove partial files, and end the jobs that nobody works on any more.

    Holds the cell's lease meanwhile: so it waits until a dead worker's lease is over, and never disturbs a live one.
    What waits can be taken by any worker afterwards, also what a dead one had taken.
    """
    async with _in_charge(tools, "recovery") as lease:
        restored = await tidy_up(tools)
        await sweep(tools)
        await end_left(tools, lease, restored)
        await tools.jobs.queue.forget_orphans()
        for job in await tools.jobs.store.active():
            if job.state is JobState.QUEUED:
                await tools.jobs.queue.enqueue(job)  # its record may be all there is; a queued one stays as it is


@asynccontextmanager
async def _in_charge(tools: Tools, owner: str) -> AsyncIterator[Lease]:
    """Be the only one who works on the cell; raise JobError WORKER_LOST where that is lost meanwhile."""
    task = asyncio.current_task()
    lost = False

    def stop() -> None:
        nonlocal lost
        lost = True
        if task is not None:
            task.cancel()

    try:
        async with tools.jobs.leases.hold(tools.cell, owner, on_lost=stop) as lease, tools.at_work(lease):
            yield lease
    except asyncio.CancelledError:
        if not lost or task is None:
            raise
        task.uncancel()
        raise JobError(Code.WORKER_LOST, f"The {owner} lost the right to work on this cell.") from None


async def end_left(tools: Tools, lease: Lease, restored: str | None) -> None:
    """End the jobs that say they run but whose worker had an older lease than this one; `restored` is told of restores.

    A backup whose archive was published before its worker died has succeeded, and says so.
    """
    for job in await tools.jobs.store.active():
        if is_left(job, lease.fence):
            ended = await as_published(tools, job) or _lost(job, restored)
            await tools.jobs.store.update(ended)
            await tools.jobs.secrets.drop(job.job_id)
            log.warning("recovery: job %s ended as %s: its worker died", job.job_id, ended.state)


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
    async with _in_charge(tools, "regeneration"):
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


async def sweep(tools: Tools) -> None:
    """Remove the files of archives that were never finished; for who works on the cell."""
    try:
        for name in await asyncio.to_thread(tools.store.sweep):
            log.warning("recovery: removed the unfinished file %s", name)
    except BackupError as error:  # the next backup will say so too, and in its record
        log.warning("recovery: %s", error.message)


def _lost(job: Job, restored: str | None) -> Job:
    ended = ended_as_lost(job)
    if restored is None and "next" in (job.result or {}):  # which a restore says as soon as it is done
        restored = (
            f"the restore of {job.backup_id} had been done; run 'cell-backup regenerate', which may not have been"
        )
    if restored is None or job.kind is not JobKind.RESTORE:
        return ended
    return replace(ended, warnings=(*ended.warnings, f"After the worker died: {restored}."))
