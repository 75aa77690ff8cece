"""The watch that every process keeps: no job runs that nobody works on, and none waits for ever."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic

from app.errors import MEANINGS, BackupError, Code
from app.jobs.lost import is_left
from app.jobs.records import Job, JobFault, JobState
from app.jobs.rooms import Jobs
from app.jobs.sightings import Sightings
from app.settings import Settings

logger = logging.getLogger(__name__)

LOOKS = 6  # in the time of a lease


@asynccontextmanager
async def watching(
    jobs: Jobs, settings: Settings, *, recover: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[None]:
    """Look while the block runs, six times in a lease's time.

    A job that runs under a lease which nobody renews is given up: its lease is condemned, so that it shows as lost, and
    `recover` (a worker's; it puts the cell right and ends the record) is called. A job that waited too long is ended.
    One that the queue does not have is queued again: its record is what counts.
    """
    watch = Watch(jobs, settings, recover)
    keeper = asyncio.create_task(_keep(watch, settings.lease_seconds / LOOKS))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.wait({keeper})
        await watch.close()


async def _keep(watch: "Watch", pause: float) -> None:
    while True:
        try:
            await watch.look()
        except BackupError as error:  # Redis is away; the next look begins anew
            logger.debug("the watch saw nothing: %s", error.message)
            watch.forget()
        except Exception:  # a defect must not end the watch, which everything that waits relies on
            logger.exception("the watch failed")
            watch.forget()
        await asyncio.sleep(pause)


class Watch:
    """Look at all active jobs, again and again."""

    def __init__(
        self,
        jobs: Jobs,
        settings: Settings,
        recover: Callable[[], Awaitable[None]] | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._jobs = jobs
        self._cell = str(settings.cell_root)
        self._most = timedelta(seconds=settings.queue_timeout)
        self._free = Sightings(enough=settings.lease_seconds / 2, late=settings.lease_seconds / 3, clock=clock)
        self._recover = recover
        self._recovering: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Look once; raise UnavailableError where Redis is away."""
        active = await self._jobs.store.active()
        await self._look_at_waiting([job for job in active if job.state is JobState.QUEUED])
        await self._look_at_running([job for job in active if job.state is JobState.RUNNING])

    def forget(self) -> None:
        """Begin anew with what takes more than one look: this one failed."""
        self._free.forget()

    async def close(self) -> None:
        """Give up a recovery that still waits or works; whoever comes next does it."""
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.wait({self._recovering})

    async def _look_at_waiting(self, waiting: list[Job]) -> None:
        known = await self._jobs.queue.known() if waiting else set()
        now = datetime.now(UTC)
        for job in waiting:
            if now - job.created_at > self._most:
                await self._end(_waited_too_long(job, self._most))
            elif job.job_id not in known:
                await self._jobs.queue.enqueue(job)

    async def _end(self, job: Job) -> None:
        """End a job that waits; one that began in this very moment goes on."""
        await self._jobs.store.update(job)
        now = await self._jobs.store.get(job.job_id)
        if now is None or now.state.ended:
            await self._jobs.secrets.drop(job.job_id)  # a webhook's stays: this end is told too
            logger.warning("job %s: ended as %s", job.job_id, Code.WAITED_TOO_LONG)

    async def _look_at_running(self, running: list[Job]) -> None:
        newest = await self._jobs.leases.fence(self._cell) if running else 0
        left = [job for job in running if is_left(job, newest)]
        if running and not left and await self._jobs.leases.holder(self._cell) is None:
            if self._free.see(newest) and await self._jobs.leases.condemn(self._cell, newest):
                logger.error("job %s: nobody works on it any more", running[0].job_id)
                left = running
        else:
            self._free.see(None)
        if left and self._recover is not None and (self._recovering is None or self._recovering.done()):
            self._recovering = asyncio.create_task(_recovered(self._recover))


async def _recovered(recover: Callable[[], Awaitable[None]]) -> None:
    """Recover once; a recovery that fails is tried again at the next look."""
    try:
        await recover()
    except BackupError as error:
        logger.error("recovery: %s %s", error.message, error.hint)  # noqa: TRY400 - expected, and said in full
    except Exception:
        logger.exception("recovery failed")


def _waited_too_long(job: Job, most: timedelta) -> Job:
    message = f"No worker began the job within {most.total_seconds():.0f} seconds."
    fault = JobFault(Code.WAITED_TOO_LONG, message, MEANINGS[Code.WAITED_TOO_LONG].hint)
    return replace(job, state=JobState.FAILED, error=fault, finished_at=datetime.now(UTC))
