"""Jobs whose worker died: nobody may be told that they run."""

from dataclasses import replace
from datetime import UTC, datetime

from app.archive.parts import PartOutcome, PartResult, fault_of
from app.errors import BackupError, Code, JobError
from app.jobs.base import JobStore, Leases
from app.jobs.records import Job, JobFault, JobState


def ended_as_lost(job: Job) -> Job:
    """Give the record of a job that its worker left."""
    error = JobError(Code.WORKER_LOST, "The worker died while the job ran.")
    return replace(
        job,
        state=JobState.FAILED,
        progress=replace(job.progress, current=None, rate=None, eta_seconds=None),
        components=tuple(given_up(result, error) for result in job.components),
        error=JobFault(error.code, error.message, error.hint),
        finished_at=datetime.now(UTC),
    )


def given_up(result: PartResult, error: BackupError) -> PartResult:
    """Give the part that was worked on when the job failed as failed, one that is still to come as skipped."""
    ends = {PartOutcome.RUNNING: PartOutcome.FAILED, PartOutcome.PENDING: PartOutcome.SKIPPED}
    if result.outcome not in ends:
        return result
    return replace(result, outcome=ends[result.outcome], error=fault_of(error))


def is_left(job: Job, newest: int) -> bool:
    """Tell whether a job says that it runs, although whoever ran it can never change the cell again."""
    return job.state is JobState.RUNNING and (job.fence or 0) < newest


async def settled(job: Job, cell: str, store: JobStore, leases: Leases) -> Job:
    """Give a job as it really is: one that says it runs under a lease that is condemned or replaced was left.

    A job records its end before it gives its lease back, so its record is read once more before it is believed lost.
    What it left behind is tidied up, and its end recorded, by the next worker that has the lease.
    """
    if job.state is not JobState.RUNNING or not is_left(job, await leases.fence(cell)):
        return job
    now = await store.get(job.job_id)
    if now is None or now.state is not JobState.RUNNING:
        return now or job
    return replace(ended_as_lost(now), finished_at=None)
