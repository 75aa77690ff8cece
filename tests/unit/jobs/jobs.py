"""Job records for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.jobs.records import Job, JobKind, JobState

FIRST = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def a_job(number: int = 1, **changes: Any) -> Job:
    """Make a queued backup; a higher number is younger."""
    fields: dict[str, Any] = {
        "job_id": f"job-{number:04d}",
        "kind": JobKind.BACKUP,
        "state": JobState.QUEUED,
        "created_at": FIRST + timedelta(microseconds=number),
        "backup_id": f"backup-20261123-020000-{number:06x}",
    }
    return Job(**{**fields, **changes})
