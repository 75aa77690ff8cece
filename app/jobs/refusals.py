"""What both job rooms say in the same words when they refuse."""

from app.errors import Code, InputError, JobError
from app.jobs.records import Job, JobState


def must_be_queued(job: Job) -> None:
    """Raise JobError(INTERNAL) for a new record that is not queued."""
    if job.state is not JobState.QUEUED:
        raise JobError(Code.INTERNAL, f"Job {job.job_id} is {job.state}; a new record is queued.")


def id_taken(job: Job) -> JobError:
    """Make the error for a new record whose id another one has."""
    return JobError(Code.INTERNAL, f"Job id {job.job_id} is taken.")


def queue_full(max_queued: int) -> InputError:
    """Make the error for a job that finds no room in the queue."""
    return InputError(Code.QUEUE_FULL, f"{max_queued} jobs wait already.")


def in_the_way(job: Job, other_id: str) -> InputError:
    """Make the error for a job that may not be queued beside another one of its kind."""
    message = f"Job {other_id} ({job.kind}) is queued or running; there is one at a time."
    return InputError(Code.RESTORE_RUNNING, message, job_id=other_id)


def key_used() -> InputError:
    """Make the error for a key of idempotency that made a job for another request."""
    return InputError(Code.IDEMPOTENCY_CONFLICT, "This Idempotency-Key came with another request before.")


def no_such_job(job_id: str) -> InputError:
    """Make the error for an update of nothing."""
    return InputError(Code.JOB_NOT_FOUND, f"There is no job {job_id}.")


def secret_gone(job_id: str) -> JobError:
    """Make the error for a secret that is not there."""
    return JobError(Code.SECRET_GONE, f"The key of job {job_id} waited too long, or was forgotten when the job ended.")
