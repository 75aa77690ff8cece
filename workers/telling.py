"""What a job of this process looks like while it runs, and how it ended."""

import asyncio
from typing import Any

from app.jobs.base import JobStore
from app.jobs.document import document
from app.jobs.events import event_data
from app.jobs.records import Job
from app.telling.ended import tell_document
from app.telling.live import live

_LOOK_SECONDS = 0.2


async def follow(store: JobStore, job_id: str, running: asyncio.Task[Any], *, tell: bool) -> None:
    """Show how far a job is until its task has ended."""
    if not tell:
        await asyncio.wait({running})
        return
    with live() as show:
        while not running.done():
            job = await store.get(job_id)
            if job is not None:
                show(event_data(job))
            await asyncio.wait({running}, timeout=_LOOK_SECONDS)


def tell_ended(job: Job) -> None:
    """Say how a job ended: its plan or its steps, what is not restored and why, every warning, what comes next."""
    tell_document(document(job), plan=job.is_dry_run)
