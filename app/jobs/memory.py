"""The job room in memory: for tests, and for one process alone."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from app.errors import Code, InputError, JobError
from app.jobs.base import Lease
from app.jobs.records import Job, JobKind, JobState
from app.jobs.refusals import in_the_way, secret_gone


class MemoryJobStore:
    """Keep job records in a dictionary."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._sole: dict[JobKind, str] = {}

    async def create(self, job: Job, *, max_queued: int, sole: bool = False) -> None:
        """Write a new queued record; raise InputError, or JobError(INTERNAL) where the id is taken."""
        if job.state is not JobState.QUEUED:
            raise JobError(Code.INTERNAL, f"Job {job.job_id} is {job.state}; a new record is queued.")
        known = self._jobs.get(job.job_id)
        if known is not None and known != job:
            raise JobError(Code.INTERNAL, f"Job id {job.job_id} is taken.")
        if known is not None:
            return
        if sole and job.kind in self._sole:
            raise in_the_way(job, self._sole[job.kind])
        if sum(job.state is JobState.QUEUED for job in self._jobs.values()) >= max_queued:
            raise InputError(Code.QUEUE_FULL, f"{max_queued} jobs wait already.")
        self._jobs[job.job_id] = job
        if sole:
            self._sole[job.kind] = job.job_id

    async def get(self, job_id: str) -> Job | None:
        """Give the record, or None."""
        return self._jobs.get(job_id)

    async def page(self, *, limit: int, offset: int = 0) -> tuple[list[Job], int]:
        """Give records, newest first, and how many there are in all."""
        return self._oldest_first()[::-1][offset : offset + limit], len(self._jobs)

    async def active(self) -> list[Job]:
        """Give every job that is queued or running, oldest first."""
        return [job for job in self._oldest_first() if not job.state.ended]

    async def update(self, job: Job) -> None:
        """Replace the record; raise InputError(JOB_NOT_FOUND) where there is none."""
        known = self._jobs.get(job.job_id)
        if known is None:
            raise InputError(Code.JOB_NOT_FOUND, f"There is no job {job.job_id}.")
        if not known.state.ended:
            self._jobs[job.job_id] = replace(job, cancel_requested=job.cancel_requested or known.cancel_requested)
            if job.state.ended and self._sole.get(job.kind) == job.job_id:
                del self._sole[job.kind]

    async def request_cancel(self, job_id: str) -> Job | None:
        """Mark the job as to be cancelled and give its record as it is now; None where there is no such job."""
        job = self._jobs.get(job_id)
        if job is not None and not job.state.ended:
            job = self._jobs[job_id] = replace(job, cancel_requested=True)
        return job

    async def forget_old(self, keep: int) -> None:
        """Remove the oldest ended records beyond `keep`."""
        ended = [job for job in self._oldest_first() if job.state.ended]
        for job in ended[: max(0, len(ended) - keep)]:
            del self._jobs[job.job_id]

    def _oldest_first(self) -> list[Job]:
        return sorted(self._jobs.values(), key=lambda job: (job.created_at, job.job_id))


class MemoryJobQueue:
    """Keep what was queued in a list; `alive` is what workers_alive answers."""

    def __init__(self) -> None:
        self.enqueued: list[Job] = []
        self.alive = True

    async def enqueue(self, job: Job) -> None:
        """Queue the job; one that is queued already stays as it is."""
        if all(queued.job_id != job.job_id for queued in self.enqueued):
            self.enqueued.append(job)

    async def forget_orphans(self) -> list[str]:
        """Give nothing: here no job is ever in progress."""
        return []

    async def workers_alive(self) -> bool:
        """Give `alive`."""
        return self.alive


@dataclass(slots=True)
class MemoryLease:
    """Hold a lease until it is lost."""

    owner: str
    number: int
    on_lost: Callable[[], Awaitable[None] | None]
    lost: bool = False

    @property
    def fence(self) -> int:
        """Give the growing number of this lease."""
        return self.number

    async def check(self) -> None:
        """Raise JobError(WORKER_LOST) where the lease is no longer held."""
        if self.lost:
            raise JobError(Code.WORKER_LOST, f"{self.owner} lost the lease; another worker may hold it.")


class MemoryLeases:
    """Give out leases within one event loop."""

    def __init__(self) -> None:
        self._held: dict[str, MemoryLease] = {}
        self._fences: dict[str, int] = {}
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(
        self, cell: str, owner: str, *, on_lost: Callable[[], Awaitable[None] | None]
    ) -> AsyncIterator[Lease]:
        """Wait for the lease and give it back."""
        async with self._changed:
            await self._changed.wait_for(lambda: cell not in self._held)
            self._fences[cell] = self._fences.get(cell, 0) + 1
            lease = self._held[cell] = MemoryLease(owner, self._fences[cell], on_lost)
        try:
            yield lease
        finally:
            if not lease.lost:
                await self._free(cell)

    async def holder(self, cell: str) -> str | None:
        """Give the owner that holds the lease now, or None."""
        return self._held[cell].owner if cell in self._held else None

    async def lose(self, cell: str) -> None:
        """Take the lease away from whoever holds it, as a worker that stood still would lose it."""
        lease = self._held[cell]
        lease.lost = True
        await self._free(cell)
        answer = lease.on_lost()
        if inspect.isawaitable(answer):
            await answer

    async def _free(self, cell: str) -> None:
        del self._held[cell]
        async with self._changed:
            self._changed.notify_all()


class MemorySecretBox:
    """Keep secrets in a dictionary."""

    def __init__(self) -> None:
        self._secrets: dict[str, bytes] = {}

    async def seal(self, job_id: str, secret: bytes) -> None:
        """Keep the secret for one job."""
        self._secrets[job_id] = secret

    async def open(self, job_id: str) -> bytes:
        """Give the secret, which stays until it is dropped; raise JobError(SECRET_GONE) where it is not there."""
        try:
            return self._secrets[job_id]
        except KeyError as error:
            raise secret_gone(job_id) from error

    async def drop(self, job_id: str) -> None:
        """Forget the secret, if it is there."""
        self._secrets.pop(job_id, None)

    async def ping(self) -> None:
        """Answer always."""
