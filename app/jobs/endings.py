"""What the end of a job counts for."""

from datetime import datetime

from app.jobs.records import Job, JobKind, JobState

DRY_RUN = "restore_dry_run"
COUNTED: tuple[str, ...] = (*JobKind, DRY_RUN)
SUCCESSES = frozenset({JobState.SUCCEEDED, JobState.PARTIAL})


def counted_as(job: Job) -> str:
    """Name the sort of job that this one counts as, one of COUNTED: a dry run is no restore."""
    return DRY_RUN if job.is_dry_run else job.kind


def end_of(job: Job) -> datetime:
    """Give when a job ended, for the order of ends."""
    return job.finished_at or job.created_at


def seconds_of(job: Job) -> float:
    """Give how long a job ran; 0 where its record does not say so, or a clock was set back meanwhile."""
    if job.started_at is None or job.finished_at is None:
        return 0.0
    return max(0.0, (job.finished_at - job.started_at).total_seconds())
