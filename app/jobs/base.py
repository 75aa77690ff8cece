"""The seams of the job room: each has a real implementation on Redis and one in memory."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.jobs.deliveries import Delivery
from app.jobs.records import Event, Idempotency, Job, JobState


@dataclass(frozen=True, slots=True)
class Totals:
    """Sum up the ended jobs of one sort; seconds and bytes are of those that succeeded or are partial.

    `last_success` is one that succeeded, and never a partial one.
    """

    ended: Mapping[JobState, int] = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0
    last_success: Job | None = None


class JobStore(Protocol):
    """Keep job records."""

    async def create(
        self, job: Job, *, max_queued: int, sole: bool = False, idempotency: Idempotency | None = None
    ) -> Job:
        """Write a new queued record and give it; raise InputError(QUEUE_FULL) where `max_queued` jobs wait already.

        Of the jobs of one kind that are made `sole`, one at a time is queued or running: a second one is refused with
        InputError(RESTORE_RUNNING), which has the `job_id` of the first. A request that made a job before gets that
        job's record, whatever state it is in, and nothing is written; the same key for something else is refused with
        InputError(IDEMPOTENCY_CONFLICT). A key is remembered for a day.
        """

    async def made_before(self, idempotency: Idempotency) -> Job | None:
        """Give the job that this request made before, or None; raise InputError(IDEMPOTENCY_CONFLICT) as above."""

    async def get(self, job_id: str) -> Job | None:
        """Give the record, or None."""

    async def page(self, *, limit: int, offset: int = 0) -> tuple[list[Job], int]:
        """Give records, newest first, and how many there are in all."""

    async def active(self) -> list[Job]:
        """Give every job that is queued or running, oldest first."""

    async def update(self, job: Job) -> None:
        """Replace the record and tell its followers; keeps a `cancel_requested` that was set meanwhile.

        An ended record never changes, nor does one that has begun by what knows nothing of that or has an older fence:
        who looked before it began, or lost the lease, has no say. One that ends now is among `untold` until
        `mark_told`, and counts in `totals`.
        Raise InputError(JOB_NOT_FOUND) where there is no such record.
        """

    async def events(self, job_id: str, *, after: str | None, limit: int = 100) -> list[Event]:
        """Give what happened to a job after that event id, oldest first; the last thousand events are kept."""

    async def untold(self, limit: int = 100) -> list[Job]:
        """Give jobs that ended and whose end nobody has told yet, oldest end first."""

    async def mark_told(self, job_id: str) -> None:
        """Note that a job's end has been told: in the audit log, and to the receivers of webhooks."""

    async def totals(self) -> Mapping[str, Totals]:
        """Give by sort (`endings.COUNTED`) what ended jobs came to, those that are forgotten included."""

    async def request_cancel(self, job_id: str) -> Job | None:
        """Mark the job as to be cancelled and give its record as it is now; None where there is no such job."""

    async def forget_old(self, keep: int) -> None:
        """Remove the oldest ended records beyond `keep`."""


class Deliveries(Protocol):
    """Keep webhooks until they are delivered, or given up, and then as long as their job is remembered."""

    async def add(self, delivery: Delivery) -> None:
        """Keep a new one, due at its `next_at`; one with that id that is there already stays as it is."""

    async def claim(self, now: datetime, *, seconds: float) -> Delivery | None:
        """Give one that is due, and keep it from everyone else for that time; None where none is due."""

    async def record(self, delivery: Delivery) -> None:
        """Replace it after an attempt; a pending one is due again at its `next_at`. Counts the new attempt."""

    async def of_job(self, job_id: str) -> list[Delivery]:
        """Give the deliveries of a job, oldest first."""

    async def send_again(self, delivery_id: str, now: datetime) -> Delivery | None:
        """Make it pending and due now; None where there is none with this id."""

    async def attempts(self) -> Mapping[str, int]:
        """Give how many attempts were made in all, by what came of them; see `RESULTS`."""

    async def pending(self) -> int:
        """Give how many wait for an attempt."""


class JobQueue(Protocol):
    """Hand jobs to workers."""

    async def enqueue(self, job: Job) -> None:
        """Queue the job by its kind and id; the record must exist already."""

    async def known(self) -> set[str]:
        """Give the ids of all jobs that wait here, or that a worker took."""

    async def forget_orphans(self) -> list[str]:
        """Forget that workers took jobs, which may be dead by now, and give their ids; others may take them at once."""

    async def workers_alive(self) -> bool:
        """Tell whether a worker reported itself within the last minute."""


class Lease(Protocol):
    """Hold the right to change the cell."""

    @property
    def fence(self) -> int:
        """Give the growing number of this lease."""

    async def check(self) -> None:
        """Wait while nobody can tell, and raise JobError(WORKER_LOST) where the lease is no longer held."""


class Leases(Protocol):
    """Give out the one lease of a cell."""

    def hold(
        self, cell: str, owner: str, *, on_lost: Callable[[], Awaitable[None] | None]
    ) -> AbstractAsyncContextManager[Lease]:
        """Wait for the lease, renew it while the block runs, give it back; call `on_lost` if it was lost."""

    async def holder(self, cell: str) -> str | None:
        """Give the owner that holds the lease now, or None."""

    async def fence(self, cell: str) -> int:
        """Give the newest number: whoever has an older one can never change the cell again."""

    async def condemn(self, cell: str, fence: int) -> bool:
        """Keep the holder of this number, whose lease has run out, from taking it up again.

        False where somebody holds the lease.
        """


class SecretBox(Protocol):
    """Carry a secret from the API to the worker, sealed."""

    async def seal(self, job_id: str, secret: bytes) -> None:
        """Keep the secret for one job, encrypted under the instance key."""

    async def open(self, job_id: str) -> bytes:
        """Give the secret, which stays until it is dropped; raise JobError(SECRET_GONE) where it is not there."""

    async def drop(self, job_id: str) -> None:
        """Forget the secret, if it is there."""

    async def ping(self) -> None:
        """Raise UnavailableError(REDIS_UNAVAILABLE) where the keeper is away."""
