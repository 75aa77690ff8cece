"""Jobs: how far each one is, how it ended, and how to stop it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Header, Query, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import guarded_router
from app.api.finding import JobId, find_job, no_job, settle
from app.api.following import END, follow
from app.api.job_examples import JOB_EXAMPLE, JOB_EXAMPLES, STREAM_EXAMPLE
from app.api.parts import FaultModel, PartModel
from app.api.problems import problems
from app.api.resources import Given, Resources
from app.api.webhook_fields import DeliveryModel
from app.errors import MEANINGS, Code, InputError
from app.jobs.document import document
from app.jobs.records import Job, JobFault, JobKind, JobState

router = guarded_router(prefix="/api/jobs", tag="jobs")

_ALL = 1_000_000
# as OpenAPI 3.2 describes the events of a stream
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["progress", END]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
    },
}


class ProgressModel(BaseModel):
    """Say how far a job is."""

    percent: Annotated[float, Field(description="0 to 100; never goes back, and is 100 only where the job ended well.")]
    bytes_done: Annotated[int, Field(description="Bytes of file contents so far.")]
    bytes_total: Annotated[int | None, Field(description="Bytes of file contents there will be.")]
    estimated: Annotated[bool, Field(description="Whether the total is an estimate.")]
    files_done: int
    current: Annotated[
        str | None, Field(description="The component or volume in hand; the stage where there was none yet.")
    ]
    rate: Annotated[float | None, Field(description="Bytes a second over the last ten; null until that can be told.")]
    eta_seconds: Annotated[float | None, Field(description="Seconds until all is read at this rate.")]


class JobDocument(BaseModel):
    """Describe one job, as lists, streams and webhooks do."""

    model_config = ConfigDict(json_schema_extra={"example": JOB_EXAMPLE})

    job_id: str
    kind: JobKind
    dry_run: Annotated[bool, Field(description="Whether it is a restore that plans, and changes nothing.")]
    state: JobState
    backup_id: Annotated[str, Field(description="The archive it writes or reads; empty for a prune.")]
    stage: Annotated[str | None, Field(description="The phase it is in.")]
    progress: ProgressModel
    components: Annotated[list[PartModel], Field(description="Components and volumes, in the order of the archive.")]
    warnings: list[str]
    error: Annotated[FaultModel | None, Field(description="Why the job failed, or why a prune removed nothing.")]
    result: Annotated[
        dict[str, Any] | None,
        Field(description="What the job gives back; of a restore its steps, while it runs, and what it planned."),
    ]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool
    asked_by: Annotated[str | None, Field(description="The name of the token that asked for it.")]

    @classmethod
    def of(cls, job: Job) -> "JobDocument":
        """Show one record."""
        return cls.model_validate(document(job))


class JobModel(JobDocument):
    """Describe one job, and what became of the messages about its end."""

    model_config = ConfigDict(json_schema_extra={"example": JOB_EXAMPLE | {"webhooks": []}})

    webhooks: Annotated[list[DeliveryModel], Field(description="Messages about its end; none before.")]


class JobList(BaseModel):
    """Give a part of the jobs that are remembered, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"jobs": [JOB_EXAMPLE], "total": 1}})

    jobs: list[JobDocument]
    total: Annotated[int, Field(description="How many there are in all.")]


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs",
    description="Jobs that wait, run or are remembered, newest first.",
    responses=problems(Code.INVALID_REQUEST, Code.REDIS_UNAVAILABLE),
)
async def list_jobs(
    given: Given,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to give at most.")] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="How many to pass over.")] = 0,
    kind: Annotated[JobKind | None, Query(description="Only jobs of this kind.")] = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
) -> JobList:
    """List jobs, newest first."""
    if kind is None and state is None:
        jobs, total = await given.jobs.store.page(limit=limit, offset=offset)
        jobs = await settle(given, jobs)
    else:
        found = await _all(given, lambda job: kind in {None, job.kind} and state in {None, job.state})
        jobs, total = found[offset : offset + limit], len(found)
    return JobList(jobs=[JobDocument.of(job) for job in jobs], total=total)


async def _all(given: Resources, wanted: Callable[[Job], bool]) -> list[Job]:
    """Filter here: what the store remembers, about a thousand ended jobs at most, is one read."""
    jobs, _ = await given.jobs.store.page(limit=_ALL)
    return [job for job in await settle(given, jobs) if wanted(job)]


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Show a job",
    description="State, stage, live progress and outcome of one job: poll this until `state` is an end state.",
    responses={
        200: {"content": {"application/json": {"examples": JOB_EXAMPLES}}},
        **problems(Code.JOB_NOT_FOUND, Code.INVALID_REQUEST, Code.REDIS_UNAVAILABLE),
    },
)
async def get_job(given: Given, job_id: JobId) -> JobModel:
    """Show one job."""
    job = await find_job(given, job_id)
    told = await given.jobs.deliveries.of_job(job_id) if job.state.ended else []
    return JobModel.model_validate(document(job) | {"webhooks": [DeliveryModel.of(delivery) for delivery in told]})


@router.get(
    "/{job_id}/events",
    operation_id="follow_job",
    summary="Follow a job",
    description=(
        "Server-sent events: `progress` whenever something changed, with what polling would show of it, then one `end` "
        "with the whole job, and the stream is over. Who comes back with the `Last-Event-ID` it had gets what it "
        "missed, as far as it is kept (a thousand events, for an hour after the end); one that had the `end` gets "
        "204, which tells an EventSource to stay away. A comment every 15 seconds says that the stream is alive."
    ),
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The stream.",
            "content": {"text/event-stream": {"itemSchema": _EVENT, "example": STREAM_EXAMPLE}},
        },
        204: {"description": "The client has had everything."},
        **problems(Code.JOB_NOT_FOUND, Code.INVALID_REQUEST, Code.REDIS_UNAVAILABLE),
    },
)
async def follow_job(
    given: Given,
    job_id: JobId,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=rf"^([0-9]{{1,19}}-[0-9]{{1,19}}|{END})?$",
            description="The `id` of the last event that was received.",
            examples=["1795399200350-0"],
        ),
    ] = None,
) -> Response:
    """Stream what happens to one job."""
    job = await find_job(given, job_id)
    if last_event_id == END and job.state.ended:
        return Response(status_code=204)
    headers = {"X-Accel-Buffering": "no"}  # some proxies would collect the events
    return EventSourceResponse(follow(given, job, last_event_id), headers=headers)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    operation_id="cancel_job",
    summary="Cancel a job",
    description=(
        "A job that still waits is cancelled at once; one that runs stops at its next step: a backup leaves no archive "
        "behind, a restore puts everything back. The answer is the job as it stands now. To ask twice is no error."
    ),
    responses=problems(Code.JOB_NOT_FOUND, Code.JOB_FINISHED, Code.INVALID_REQUEST, Code.REDIS_UNAVAILABLE),
)
async def cancel_job(given: Given, job_id: JobId) -> JobDocument:
    """Cancel one job; doing it twice is the same as once."""
    job = await find_job(given, job_id)
    if job.state is JobState.CANCELLED:
        return JobDocument.of(job)
    if job.state.ended:
        raise InputError(Code.JOB_FINISHED, f"The job has ended already: {job.state}.")
    marked = await given.jobs.store.request_cancel(job_id)
    if marked is None:
        raise no_job()
    if marked.state is JobState.QUEUED:
        await given.jobs.store.update(_cancelled(marked))
    now = await find_job(given, job_id)
    if now.state.ended:  # one that began meanwhile needs its secrets until it notices
        await given.jobs.secrets.drop(job_id)
    return JobDocument.of(now)


def _cancelled(job: Job) -> Job:
    message = "The job was cancelled before it began."
    fault = JobFault(Code.CANCELLED, message, MEANINGS[Code.CANCELLED].hint)
    return replace(job, state=JobState.CANCELLED, error=fault, finished_at=datetime.now(UTC))
