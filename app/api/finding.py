"""Jobs as they really are: looked up by what can be an id, and seen through where their worker is dead."""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Path

from app.api.problems import EXAMPLE_JOB_ID
from app.api.resources import Resources
from app.errors import BackupError, Code, InputError
from app.jobs.lost import is_left, settled
from app.jobs.records import Job, JobKind, JobState

_ID = re.compile(r"[0-9a-f]{32}")

JobId = Annotated[str, Path(description="Id of a job, as its 202 answer gave it.", examples=[EXAMPLE_JOB_ID])]


async def find_job(given: Resources, job_id: str) -> Job:
    """Give a job; raise InputError JOB_NOT_FOUND."""
    # only what can be an id is looked up, so that no other key of the store can be reached
    job = await given.jobs.store.get(job_id) if _ID.fullmatch(job_id) else None
    if job is None:
        raise no_job()
    return await _settled(given, job)


async def settle(given: Resources, jobs: Sequence[Job]) -> list[Job]:
    """Give many jobs as they are; the lease is looked at once for all."""
    if not any(job.state is JobState.RUNNING for job in jobs):
        return list(jobs)
    newest = await given.jobs.leases.fence(str(given.settings.cell_root))
    return [await _settled(given, job) if is_left(job, newest) else job for job in jobs]


async def _settled(given: Resources, job: Job) -> Job:
    """Tell no end that may still turn into another: a backup whose archive is there is recorded as such in a moment."""
    shown = await settled(job, str(given.settings.cell_root), given.jobs.store, given.jobs.leases)
    is_left_over = shown.state.ended and shown.finished_at is None
    return job if is_left_over and await asyncio.to_thread(_is_published, given, job) else shown


def _is_published(given: Resources, job: Job) -> bool:
    if job.kind is not JobKind.BACKUP:
        return False
    try:
        return given.store.get(job.backup_id).outcome is not None
    except BackupError:
        return False


def no_job() -> InputError:
    """Make the error for a job that nobody remembers."""
    return InputError(Code.JOB_NOT_FOUND, "No job with this id is remembered.")
