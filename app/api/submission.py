"""How a job gets into the queue: its secrets sealed, its record written, then queued; and once only for one key."""

import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import Asking
from app.api.idempotency import IdempotencyKey, idempotency_of
from app.api.problems import EXAMPLE_JOB_ID
from app.api.resources import Given, Resources
from app.api.webhook_fields import Webhook, drop_webhook, seal_webhook
from app.errors import Code, UnavailableError
from app.jobs.records import Idempotency, Job, JobKind, JobState

log = logging.getLogger(__name__)
# what every request that makes a job may be refused for
REFUSALS = (Code.IDEMPOTENCY_CONFLICT, Code.INVALID_WEBHOOK, Code.QUEUE_FULL, Code.REDIS_UNAVAILABLE)


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
    backup_id: Annotated[str, Field(description="The archive the job will write or read; empty for a prune.")]
    status_url: Annotated[str, Field(description="Poll this address, or follow its `/events`.")]


LOCATION = {
    "headers": {"Location": {"description": "Where to follow the job.", "schema": {"type": "string"}}},
}


class Submission:
    """Make at most one job of a request, and answer where to follow it."""

    def __init__(self, given: Resources, request: Request, response: Response, key: str | None, asked_by: str) -> None:
        self._given = given
        self._request = request
        self._response = response
        self._key = key
        self._asked_by = asked_by
        self._idempotency: Idempotency | None = None

    async def made_before(self) -> Accepted | None:
        """Give the answer that this request had before, if it had one; raise InputError IDEMPOTENCY_CONFLICT.

        Comes first: nothing of what a request asks for has to be there any more when it is sent again.
        """
        self._idempotency = await idempotency_of(self._given, self._request, self._key, self._asked_by)
        if self._idempotency is None:
            return None
        job = await self._given.jobs.store.made_before(self._idempotency)
        return None if job is None else self._accepted(job)

    async def submit(
        self,
        kind: JobKind,
        backup_id: str,
        request: dict[str, Any],
        *,
        secret: bytes | None,
        webhook: Webhook | None,
        sole: bool = False,
    ) -> Accepted:
        """Queue a job and say where to follow it; of two such requests with one key only one makes a job.

        Raises InputError INVALID_WEBHOOK, QUEUE_FULL or IDEMPOTENCY_CONFLICT, and RESTORE_RUNNING for a job that is
        `sole` but has another one before it.
        """
        job = new_job(kind, backup_id, request, asked_by=self._asked_by)
        most = self._given.settings.max_queued_jobs
        async with _sealed(self._given, job, secret, webhook) as complete:
            made = await self._given.jobs.store.create(
                complete, max_queued=most, sole=sole, idempotency=self._idempotency
            )
        if made.job_id == job.job_id:
            await self._enqueue(made)
        return self._accepted(made)

    async def _enqueue(self, job: Job) -> None:
        try:
            await self._given.jobs.queue.enqueue(job)
        except UnavailableError as error:
            # the record is durable and says `queued`: the watch puts it into the queue, so the client is told the truth
            log.warning("job %s waits to be put into the queue: %s", job.job_id, error.message)

    def _accepted(self, job: Job) -> Accepted:
        status_url = f"/api/jobs/{job.job_id}"
        self._response.headers["Location"] = status_url
        return Accepted(job_id=job.job_id, backup_id=job.backup_id, status_url=status_url)


def _submission(
    given: Given, request: Request, response: Response, asked_by: Asking, key: IdempotencyKey = None
) -> Submission:
    return Submission(given, request, response, key, asked_by)


Submitting = Annotated[Submission, Depends(_submission)]


def new_job(kind: JobKind, backup_id: str, request: dict[str, Any], *, asked_by: str | None = None) -> Job:
    """Make the record of a job that has not begun."""
    return Job(
        job_id=uuid.uuid4().hex,
        kind=kind,
        state=JobState.QUEUED,
        created_at=datetime.now(UTC),
        backup_id=backup_id,
        request=request,
        asked_by=asked_by,
    )


@asynccontextmanager
async def _sealed(given: Resources, job: Job, secret: bytes | None, webhook: Webhook | None) -> AsyncIterator[Job]:
    """Keep secrets from before the record is there, and give the record; what the block makes no record of is dropped.

    It is looked up, because a record whose answer was lost on its way has been written all the same.
    """
    try:
        if webhook is not None:
            origin = await seal_webhook(given, job.job_id, webhook)
            job = replace(job, request=job.request | {"webhook": origin})
        if secret is not None:
            await given.jobs.secrets.seal(job.job_id, secret)
        yield job
    finally:
        if (secret or webhook) and await given.jobs.store.get(job.job_id) is None:
            await given.jobs.secrets.drop(job.job_id)
            await drop_webhook(given, job.job_id)
