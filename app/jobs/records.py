"""A job as everyone sees it: what was asked for, how far it is, how it ended."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.archive.parts import PartResult


class JobKind(StrEnum):
    """Name the kinds of work that can be queued."""

    BACKUP = "backup"
    VERIFY = "verify"
    RESTORE = "restore"
    PRUNE = "prune"


class JobState(StrEnum):
    """Name where a job stands; the last four are end states."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Tell whether a job in this state is over."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


@dataclass(frozen=True, slots=True)
class Progress:
    """Say how far a job is: bytes of file contents, bytes a second, seconds left; `estimated` marks a guessed total."""

    percent: float = 0.0
    bytes_done: int = 0
    bytes_total: int | None = None
    estimated: bool = True
    files_done: int = 0
    current: str | None = None
    rate: float | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class JobFault:
    """Say why a job failed: a stable code, a sentence, a hint."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Job:
    """Hold one job's record; `request` is what was asked for, without any secret, as plain JSON values.

    `backup_id` is empty for a prune, which is about all archives.
    """

    job_id: str
    kind: JobKind
    state: JobState
    created_at: datetime
    backup_id: str
    request: dict[str, Any] = field(default_factory=dict)
    stage: str | None = None
    progress: Progress = field(default_factory=Progress)
    components: tuple[PartResult, ...] = ()
    warnings: tuple[str, ...] = ()
    error: JobFault | None = None
    result: dict[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested: bool = False
    worker: str | None = None
    fence: int | None = None
    asked_by: str | None = None

    @property
    def is_dry_run(self) -> bool:
        """Tell whether it is a restore that plans, and changes nothing."""
        return self.request.get("dry_run") is True


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one change of a job as its stream tells it; `event_id` grows, `data` is plain JSON values."""

    event_id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Name one request of a client, so that it can be sent twice: digests of its key, and of all that it asks for."""

    key: str
    fingerprint: str
