"""Jobs whose worker died: nobody may be told that they run."""

from dataclasses import replace
from datetime import UTC, datetime

from app.errors import MEANINGS, Code
from app.jobs.base import JobStore, Leases
from app.jobs.records import Job, JobFault, JobState


def ended_as_lost(job: Job) -> Job:
    """Give the record of a job that its worker left."""
    fault = JobFault(Code.WORKER_LOST, "The worker died while the job ran.", MEANINGS[Code.WORKER_LOST].hint)
    return replace(job, state=JobState.FAILED, error=fault, finished_at=datetime.now(UTC))


async def settled(job: Job, cell: str, store: JobStore, leases: Leases) -> Job:
    """Give a job as it really is: one that says it runs, but does not hold the cell's lease, has lost its worker.

    A job records its end before it gives its lease back, so its record is read once more before it is believed lost.
    What it left behind is tidied up, and its end recorded, by the next worker: this one may only be cut off from Redis.
    """
    if job.state is not JobState.RUNNING or await leases.holder(cell) == job.job_id:
        return job
    now = await store.get(job.job_id)
    if now is None or now.state is not JobState.RUNNING:
        return now or job
    return replace(ended_as_lost(now), finished_at=None)
