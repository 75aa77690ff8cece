"""Jobs: how far each one is, how it ended, and how to stop it."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import guarded_router
from app.api.job_examples import JOB_EXAMPLE, JOB_EXAMPLES
from app.api.parts import FaultModel, PartModel
from app.api.problems import EXAMPLE_JOB_ID, problems
from app.api.resources import Given, Resources
from app.errors import MEANINGS, Code, InputError
from app.jobs.lost import settled
from app.jobs.records import Job, JobFault, JobKind, JobState

router = guarded_router(prefix="/api/jobs", tag="jobs")

_ID = re.compile(r"[0-9a-f]{32}")


class ProgressModel(BaseModel):
    """Say how far a job is."""

    model_config = ConfigDict(from_attributes=True)

    percent: Annotated[float, Field(description="0 to 100, as far as the total is known.")]
    bytes_done: Annotated[int, Field(description="Bytes of file contents so far.")]
    bytes_total: Annotated[int | None, Field(description="Bytes of file contents there will be.")]
    estimated: Annotated[bool, Field(description="Whether the total is an estimate.")]
    files_done: int
    current: Annotated[str | None, Field(description="The component or volume that is being read.")]
    rate: Annotated[float | None, Field(description="Bytes a second.")]
    eta_seconds: Annotated[float | None, Field(description="Seconds until the end, estimated.")]


class JobModel(BaseModel):
    """Describe one job."""

    model_config = ConfigDict(json_schema_extra={"example": JOB_EXAMPLE})

    job_id: str
    kind: JobKind
    state: JobState
    backup_id: Annotated[str, Field(description="The archive it writes or reads.")]
    stage: Annotated[str | None, Field(description="The phase it is in.")]
    progress: ProgressModel
    components: Annotated[list[PartModel], Field(description="Components and volumes, in the order of the archive.")]
    warnings: list[str]
    error: Annotated[FaultModel | None, Field(description="Why the job failed.")]
    result: Annotated[
        dict[str, Any] | None,
        Field(description="What the job gives back; of a restore its steps, while it runs, and what it planned."),
    ]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool

    @classmethod
    def of(cls, job: Job) -> "JobModel":
        """Show one record."""
        return cls(
            job_id=job.job_id,
            kind=job.kind,
            state=job.state,
            backup_id=job.backup_id,
            stage=job.stage,
            progress=ProgressModel.model_validate(job.progress),
            components=[PartModel.of(result) for result in job.components],
            warnings=list(job.warnings),
            error=None if job.error is None else FaultModel.model_validate(job.error),
            result=job.result,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            cancel_requested=job.cancel_requested,
        )


class JobList(BaseModel):
    """Give a part of the jobs that are remembered, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"jobs": [JOB_EXAMPLE], "total": 1}})

    jobs: list[JobModel]
    total: Annotated[int, Field(description="How many there are in all.")]


JobId = Annotated[str, Path(description="Id of a job, as its 202 answer gave it.", examples=[EXAMPLE_JOB_ID])]


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
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
) -> JobList:
    """List jobs, newest first."""
    if state is None:
        jobs, total = await given.jobs.store.page(limit=limit, offset=offset)
    else:
        jobs, total = await _page_in(given, state, limit, offset)
    return JobList(jobs=[JobModel.of(await _settled(given, job)) for job in jobs], total=total)


async def _page_in(given: Resources, state: JobState, limit: int, offset: int) -> tuple[list[Job], int]:
    """Filter here: the store remembers a thousand ended jobs at most, which is one read."""
    most = given.settings.job_history + given.settings.max_queued_jobs
    jobs, _ = await given.jobs.store.page(limit=most)
    found = [job for job in jobs if job.state is state]
    return found[offset : offset + limit], len(found)


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
    return JobModel.of(await _find(given, job_id))


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    operation_id="cancel_job",
    summary="Cancel a job",
    description=(
        "A job that still waits is cancelled at once; one that runs stops at its next step: a backup leaves no archive "
        "behind, a restore puts everything back. The answer is the job as it stands now."
    ),
    responses=problems(Code.JOB_NOT_FOUND, Code.JOB_FINISHED, Code.INVALID_REQUEST, Code.REDIS_UNAVAILABLE),
)
async def cancel_job(given: Given, job_id: JobId) -> JobModel:
    """Cancel one job."""
    job = await _find(given, job_id)
    if job.state.ended:
        raise InputError(Code.JOB_FINISHED, f"The job has ended already: {job.state}.")
    marked = await given.jobs.store.request_cancel(job_id)
    if marked is None:
        raise _no_job()
    if marked.state is JobState.QUEUED:
        await given.jobs.secrets.drop(job_id)
        await given.jobs.store.update(_cancelled(marked))
    return JobModel.of(await _find(given, job_id))


def _cancelled(job: Job) -> Job:
    message = "The job was cancelled before it began."
    fault = JobFault(Code.CANCELLED, message, MEANINGS[Code.CANCELLED].hint)
    return replace(job, state=JobState.CANCELLED, error=fault, finished_at=datetime.now(UTC))


async def _find(given: Resources, job_id: str) -> Job:
    # only what can be an id is looked up, so that no other key of the store can be reached
    job = await given.jobs.store.get(job_id) if _ID.fullmatch(job_id) else None
    if job is None:
        raise _no_job()
    return await _settled(given, job)


async def _settled(given: Resources, job: Job) -> Job:
    return await settled(job, str(given.settings.cell_root), given.jobs.store, given.jobs.leases)


def _no_job() -> InputError:
    return InputError(Code.JOB_NOT_FOUND, "No job with this id is remembered.")
