"""The seams of the job room: each has a real implementation on Redis and one in memory."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from app.jobs.records import Job


class JobStore(Protocol):
    """Keep job records."""

    async def create(self, job: Job, *, max_queued: int, sole: bool = False) -> None:
        """Write a new queued record; raise InputError(QUEUE_FULL) where `max_queued` jobs wait already.

        Of the jobs of one kind that are made `sole`, one at a time is queued or running: a second one is refused with
        InputError(RESTORE_RUNNING), which has the `job_id` of the first.
        """

    async def get(self, job_id: str) -> Job | None:
        """Give the record, or None."""

    async def page(self, *, limit: int, offset: int = 0) -> tuple[list[Job], int]:
        """Give records, newest first, and how many there are in all."""

    async def active(self) -> list[Job]:
        """Give every job that is queued or running, oldest first."""

    async def update(self, job: Job) -> None:
        """Replace the record; keeps a `cancel_requested` that was set meanwhile; an ended record never changes.

        Raise InputError(JOB_NOT_FOUND) where there is no such record.
        """

    async def request_cancel(self, job_id: str) -> Job | None:
        """Mark the job as to be cancelled and give its record as it is now; None where there is no such job."""

    async def forget_old(self, keep: int) -> None:
        """Remove the oldest ended records beyond `keep`."""


class JobQueue(Protocol):
    """Hand jobs to workers."""

    async def enqueue(self, job: Job) -> None:
        """Queue the job by its kind and id; the record must exist already."""

    async def forget_orphans(self) -> list[str]:
        """Forget that a dead worker had jobs in progress, and give their ids; for who holds the cell's lease."""

    async def workers_alive(self) -> bool:
        """Tell whether a worker reported itself within the last minute."""


class Lease(Protocol):
    """Hold the right to change the cell."""

    @property
    def fence(self) -> int:
        """Give the growing number of this lease."""

    async def check(self) -> None:
        """Raise JobError(WORKER_LOST) where the lease is no longer held."""


class Leases(Protocol):
    """Give out the one lease of a cell."""

    def hold(
        self, cell: str, owner: str, *, on_lost: Callable[[], Awaitable[None] | None]
    ) -> AbstractAsyncContextManager[Lease]:
        """Wait for the lease, renew it while the block runs, give it back; call `on_lost` if it was lost."""

    async def holder(self, cell: str) -> str | None:
        """Give the owner that holds the lease now, or None."""


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
