"""What both job rooms say in the same words when they refuse."""

from app.errors import Code, InputError, JobError
from app.jobs.records import Job


def in_the_way(job: Job, other_id: str) -> InputError:
    """Make the error for a job that may not be queued beside another one of its kind."""
    message = f"Job {other_id} ({job.kind}) is queued or running; there is one at a time."
    return InputError(Code.RESTORE_RUNNING, message, job_id=other_id)


def secret_gone(job_id: str) -> JobError:
    """Make the error for a secret that is not there."""
    return JobError(Code.SECRET_GONE, f"The key of job {job_id} waited too long, or was forgotten when the job ended.")
