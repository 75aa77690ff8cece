"""How a job gets into the queue: its secret sealed, its record written, then queued, or none of it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.problems import EXAMPLE_JOB_ID
from app.api.resources import Resources
from app.errors import BackupError
from app.jobs.records import Job, JobFault, JobKind, JobState


class Accepted(BaseModel):
    """Say where to follow the job that was queued."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "job_id": EXAMPLE_JOB_ID,
                "backup_id": "backup-20261123-020000-9f2c1a",
                "status_url": f"/api/jobs/{EXAMPLE_JOB_ID}",
            }
        }
    )

    job_id: str
    backup_id: Annotated[str, Field(description="The archive the job will write or read.")]
    status_url: Annotated[str, Field(description="Poll this address.")]


LOCATION = {
    "headers": {"Location": {"description": "Where to follow the job.", "schema": {"type": "string"}}},
}


def new_job(kind: JobKind, backup_id: str, request: dict[str, Any]) -> Job:
    """Make the record of a job that has not begun."""
    return Job(
        job_id=uuid.uuid4().hex,
        kind=kind,
        state=JobState.QUEUED,
        created_at=datetime.now(UTC),
        backup_id=backup_id,
        request=request,
    )


async def submit(
    given: Resources, job: Job, secret: bytes | None, response: Response, *, sole: bool = False
) -> Accepted:
    """Queue the job and say where to follow it; what fails on the way leaves neither a secret nor a waiting record.

    Raises InputError QUEUE_FULL, and RESTORE_RUNNING for a job that is `sole` but has another one before it.
    """
    async with _sealed(given, job, secret), _recorded(given, job, sole=sole):
        await given.jobs.queue.enqueue(job)
    status_url = f"/api/jobs/{job.job_id}"
    response.headers["Location"] = status_url
    return Accepted(job_id=job.job_id, backup_id=job.backup_id, status_url=status_url)


@asynccontextmanager
async def _sealed(given: Resources, job: Job, secret: bytes | None) -> AsyncIterator[None]:
    if secret is None:
        yield
        return
    try:
        await given.jobs.secrets.seal(job.job_id, secret)
        yield
    except BaseException:
        await given.jobs.secrets.drop(job.job_id)
        raise


@asynccontextmanager
async def _recorded(given: Resources, job: Job, *, sole: bool) -> AsyncIterator[None]:
    await given.jobs.store.create(job, max_queued=given.settings.max_queued_jobs, sole=sole)
    try:
        yield
    except BackupError as error:
        fault = JobFault(error.code, error.message, error.hint)
        await given.jobs.store.update(replace(job, state=JobState.FAILED, error=fault, finished_at=datetime.now(UTC)))
        raise
