"""One job from lease to end state: whatever happens to the work, its record says so."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from app.archive.parts import PartResult
from app.archive.relay import Meter
from app.errors import BackupError, Code, JobError, UnavailableError
from app.jobs.base import Lease
from app.jobs.records import Job, JobFault, JobState
from workers.reporting import ProgressReport
from workers.threads import Threads
from workers.tools import Tools

log = logging.getLogger("cell_backup.worker")

_REPORT_INTERVAL = 0.4


@dataclass(frozen=True, slots=True)
class Ending:
    """Say how a job ended that reached its end."""

    state: JobState
    result: dict[str, Any]


class JobRun:
    """Hold what a running job knows of itself; `parts` and `warnings` show in its record as they grow."""

    def __init__(self, tools: Tools, job: Job) -> None:
        self.tools = tools
        self.job = job
        self.meter = Meter()
        self.progress = ProgressReport()
        self.threads = Threads()
        self.parts: list[PartResult] = []
        self.warnings: list[str] = []
        self._lease: Lease | None = None
        self._stage: str | None = None
        self._why: JobError | None = None
        self._task = asyncio.current_task()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Name the stage that the block is."""
        self._stage = name
        log.info("job %s: %s", self.job.job_id, name)
        yield

    async def check_lease(self) -> None:
        """Raise JobError WORKER_LOST where this job may no longer change anything."""
        if self._lease is not None:
            await self._lease.check()

    def end_because(self, why: JobError) -> None:
        """End the work wherever it is; the record will say why."""
        if self._why is None and self._task is not None:
            self._why = why
            self._task.cancel()

    async def run(self, work: Callable[["JobRun"], Awaitable[Ending]]) -> None:
        """Do the work under the cell's lease and record how it ended."""
        lost = JobError(Code.WORKER_LOST, "The worker lost the right to work on this cell.")
        owner = self.job.job_id
        async with self.tools.jobs.leases.hold(
            self.tools.cell, owner, on_lost=lambda: self.end_because(lost)
        ) as self._lease:
            if not await self._still_wanted():
                return
            running = replace(self.job, state=JobState.RUNNING, started_at=datetime.now(UTC), fence=self._lease.fence)
            await self._record(running)
            await self._record(await self._end_state(work))

    async def _still_wanted(self) -> bool:
        """Tell whether nobody cancelled the job while it waited for the lease."""
        record = await self.tools.jobs.store.get(self.job.job_id)
        return record is not None and not record.state.ended

    async def _end_state(self, work: Callable[["JobRun"], Awaitable[Ending]]) -> Job:
        limit = self.tools.settings.job_timeout
        try:
            async with self._reporting(), asyncio.timeout(limit):
                ending = await work(self)
        except TimeoutError:
            return self._failed(JobError(Code.JOB_TIMEOUT, f"The job ran longer than {limit:.0f} seconds."))
        except asyncio.CancelledError:
            # recorded like any other end, and not passed on: arq would only log it with a traceback
            if self._task is not None:
                self._task.uncancel()
            return self._failed(self._why or JobError(Code.WORKER_LOST, "The worker was shut down while the job ran."))
        except BackupError as error:
            return self._failed(error)
        except Exception as error:
            log.exception("job %s: unexpected error", self.job.job_id)
            return self._failed(JobError(Code.INTERNAL, f"Unexpected {type(error).__name__}; see the worker's log."))
        done = self._snapshot(ended=True)
        return replace(done, state=ending.state, result=ending.result, finished_at=datetime.now(UTC))

    def _failed(self, error: BackupError) -> Job:
        log.warning("job %s: %s: %s", self.job.job_id, error.code, error.message)
        state = JobState.CANCELLED if error.code is Code.CANCELLED else JobState.FAILED
        fault = JobFault(error.code, error.message, error.hint)
        return replace(self._snapshot(), state=state, error=fault, finished_at=datetime.now(UTC))

    def _snapshot(self, *, ended: bool = False) -> Job:
        return replace(
            self.job,
            stage=self._stage,
            progress=self.progress.of(self.meter, ended=ended),
            components=tuple(self.parts),
            warnings=tuple(self.warnings),
        )

    async def _record(self, job: Job) -> None:
        self.job = job
        await self.tools.jobs.store.update(job)

    @asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._report())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _report(self) -> None:
        """Write the record twice a second and notice when somebody wants the job to end."""
        store = self.tools.jobs.store
        while True:
            with suppress(UnavailableError):  # Redis may be away for a while; the end state is written with patience
                await store.update(self._snapshot())
                record = await store.get(self.job.job_id)
                if record is not None and record.cancel_requested:
                    self.end_because(JobError(Code.CANCELLED, "The job was cancelled."))
            await asyncio.sleep(_REPORT_INTERVAL)


async def run_job(tools: Tools, job_id: str, work: Callable[[JobRun], Awaitable[Ending]]) -> None:
    """Run a queued job; one that has ended already, or is unknown, is left alone."""
    job = await tools.jobs.store.get(job_id)
    if job is None or job.state.ended:
        log.info("job %s: nothing to do", job_id)
        return
    try:
        await JobRun(tools, job).run(work)
    finally:
        await asyncio.shield(tools.jobs.secrets.drop(job_id))
        await asyncio.shield(tools.jobs.store.forget_old(tools.settings.job_history))
