"""The job room in memory: for tests, and for one process alone."""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count

from app.errors import Code, JobError
from app.jobs.base import Lease, Totals
from app.jobs.endings import COUNTED, SUCCESSES, counted_as, end_of, seconds_of
from app.jobs.events import KEPT, event_data, place_after
from app.jobs.memory_deliveries import MemoryDeliveries
from app.jobs.records import Event, Idempotency, Job, JobKind, JobState
from app.jobs.refusals import id_taken, in_the_way, key_used, must_be_queued, no_such_job, queue_full, secret_gone


class MemoryJobStore:
    """Keep job records in a dictionary, with their deliveries; here nothing goes as time goes by."""

    def __init__(self) -> None:
        self.deliveries = MemoryDeliveries()
        self._jobs: dict[str, Job] = {}
        self._made: dict[str, Job] = {}
        self._sole: dict[JobKind, str] = {}
        self._requests: dict[str, tuple[str, str]] = {}
        self._events: dict[str, deque[Event]] = {}
        self._untold: set[str] = set()
        self._totals: dict[str, Totals] = {sort: Totals() for sort in COUNTED}
        self._places = count(1)

    async def create(
        self, job: Job, *, max_queued: int, sole: bool = False, idempotency: Idempotency | None = None
    ) -> Job:
        """Write a new queued record; raise InputError, or JobError(INTERNAL) where the id is taken."""
        must_be_queued(job)
        earlier = await self.made_before(idempotency) if idempotency else None
        if earlier is not None:
            return earlier
        if job.job_id in self._jobs:
            if self._made[job.job_id] != job:
                raise id_taken(job)
            return self._jobs[job.job_id]
        if sole and job.kind in self._sole:
            raise in_the_way(job, self._sole[job.kind])
        if sum(job.state is JobState.QUEUED for job in self._jobs.values()) >= max_queued:
            raise queue_full(max_queued)
        self._jobs[job.job_id] = self._made[job.job_id] = job
        if sole:
            self._sole[job.kind] = job.job_id
        if idempotency is not None:
            self._requests[idempotency.key] = (idempotency.fingerprint, job.job_id)
        return job

    async def made_before(self, idempotency: Idempotency) -> Job | None:
        """Give the job that this request made before, or None; raise InputError(IDEMPOTENCY_CONFLICT)."""
        fingerprint, job_id = self._requests.get(idempotency.key, ("", ""))
        job = self._jobs.get(job_id)
        if job is not None and fingerprint != idempotency.fingerprint:
            raise key_used()
        return job

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
        """Replace the record and tell its followers; raise InputError(JOB_NOT_FOUND) where there is none."""
        known = self._jobs.get(job.job_id)
        if known is None:
            raise no_such_job(job.job_id)
        if known.state.ended or (known.fence or 0) > (job.fence or 0):
            return
        self._jobs[job.job_id] = replace(job, cancel_requested=job.cancel_requested or known.cancel_requested)
        events = self._events.setdefault(job.job_id, deque(maxlen=KEPT))
        data = event_data(job)
        if not events or events[-1].data != data:
            events.append(Event(f"{next(self._places)}-0", data))
        if job.state.ended:
            self._end(job)

    def _end(self, job: Job) -> None:
        if self._sole.get(job.kind) == job.job_id:
            del self._sole[job.kind]
        self._untold.add(job.job_id)
        sort = counted_as(job)
        totals = self._totals[sort]
        totals = replace(totals, ended={**totals.ended, job.state: totals.ended.get(job.state, 0) + 1})
        if job.state in SUCCESSES:
            seconds, size = totals.seconds + seconds_of(job), totals.bytes + job.progress.bytes_done
            last = job if job.state is JobState.SUCCEEDED else totals.last_success
            totals = replace(totals, seconds=seconds, bytes=size, last_success=last)
        self._totals[sort] = totals

    async def events(self, job_id: str, *, after: str | None, limit: int = 100) -> list[Event]:
        """Give what happened to a job after that event id, oldest first; what is no event id is the beginning."""
        place = place_after(after)
        return [event for event in self._events.get(job_id, ()) if place_after(event.event_id) > place][:limit]

    async def untold(self, limit: int = 100) -> list[Job]:
        """Give jobs that ended and whose end nobody has told yet, oldest end first."""
        jobs = [self._jobs[job_id] for job_id in self._untold]
        return sorted(jobs, key=lambda job: (end_of(job), job.job_id))[:limit]

    async def mark_told(self, job_id: str) -> None:
        """Note that a job's end has been told."""
        self._untold.discard(job_id)

    async def totals(self) -> Mapping[str, Totals]:
        """Give by sort what ended jobs came to, those that are forgotten included."""
        return dict(self._totals)

    async def request_cancel(self, job_id: str) -> Job | None:
        """Mark the job as to be cancelled and give its record as it is now; None where there is no such job."""
        job = self._jobs.get(job_id)
        if job is not None and not job.state.ended:
            job = self._jobs[job_id] = replace(job, cancel_requested=True)
        return job

    async def forget_old(self, keep: int) -> None:
        """Remove the oldest ended records beyond `keep`, but none whose end or webhook is still to be told."""
        ended = [job.job_id for job in self._oldest_first() if job.state.ended]
        for job_id in ended[: max(0, len(ended) - keep)]:
            if job_id not in self._untold and self.deliveries.forget(job_id):
                for kept in (self._jobs, self._made, self._events):
                    kept.pop(job_id, None)

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

    async def known(self) -> set[str]:
        """Give the ids of all that was queued; nobody takes anything off this list."""
        return {job.job_id for job in self.enqueued}

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

    async def fence(self, cell: str) -> int:
        """Give the newest number."""
        return self._fences.get(cell, 0)

    async def condemn(self, cell: str, fence: int) -> bool:
        """Keep the holder of this number from taking its lease up again; False where somebody holds the lease."""
        if cell in self._held:
            return False
        if self._fences.get(cell, 0) == fence:
            self._fences[cell] = fence + 1
        return True

    async def lose(self, cell: str) -> None:
        """Take the lease away from whoever holds it, as a worker that stood still would lose it; its number stays."""
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
