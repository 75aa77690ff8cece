"""What a worker does before its first job: it finishes what a dead one left behind."""

import asyncio
import logging

from app.engine.journal import recover
from app.errors import BackupError, Code
from app.jobs.lost import ended_as_lost
from app.jobs.records import Job, JobState
from workers.tools import Tools

log = logging.getLogger("cell_backup.worker")


async def recover_cell(tools: Tools) -> None:
    """Let quiesced containers run again, remove partial files, and end the jobs that nobody works on any more.

    Holds the cell's lease meanwhile: so it waits until a dead worker's lease is over, and never disturbs a live one.
    """
    async with tools.jobs.leases.hold(tools.cell, "recovery", on_lost=lambda: None):
        for line in await recover(tools.journal, tools.engine):
            log.warning("recovery: %s", line)
        await _sweep(tools)
        begun = await tools.jobs.queue.forget_orphans()
        for job in await tools.jobs.store.active():
            if job.state is JobState.RUNNING or job.job_id in begun:
                await _end(tools, job)
            else:
                await tools.jobs.queue.enqueue(job)  # its record may be all there is; a queued one stays as it is


async def _sweep(tools: Tools) -> None:
    try:
        for name in await asyncio.to_thread(tools.store.sweep):
            log.warning("recovery: removed the unfinished file %s", name)
    except BackupError as error:  # the next backup will say so too, and in its record
        log.warning("recovery: %s", error.message)


async def _end(tools: Tools, job: Job) -> None:
    await tools.jobs.store.update(ended_as_lost(job))
    await tools.jobs.secrets.drop(job.job_id)
    log.warning("recovery: job %s ended as %s", job.job_id, Code.WORKER_LOST)
