"""One job from lease to end state: whatever happens to the work, its record says so."""

import asyncio
import copy
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from app.archive.parts import PartOutcome, PartResult
from app.archive.relay import Meter
from app.engine.journal import recover
from app.engine.shield import see_through
from app.errors import BackupError, Code, InputError, JobError, UnavailableError
from app.jobs.base import Lease
from app.jobs.lost import given_up
from app.jobs.records import Job, JobFault, JobState
from app.logs import bound
from workers.expiry import remove_expired
from workers.maintenance import end_left
from workers.patience import patiently, while_working
from workers.reporting import ProgressReport, part_at
from workers.restoring.putting_back import recover_restore
from workers.threads import Threads
from workers.tools import Tools

log = logging.getLogger("cell_backup.worker")

_REPORT_INTERVAL = 0.4


@dataclass(frozen=True, slots=True)
class Ending:
    """Say how a job ended that reached its end; `error` why it did not do all that it was to do."""

    state: JobState
    result: dict[str, Any]
    error: JobFault | None = None


class JobRun:
    """Hold what a running job knows of itself; `parts`, `warnings` and `result` show in its record as they grow."""

    def __init__(self, tools: Tools, job: Job) -> None:
        self.tools = tools
        self.job = job
        self.meter = Meter()
        self.progress = ProgressReport()
        self.threads = Threads()
        self.parts: list[PartResult] = []
        self.warnings: list[str] = []
        self.result: dict[str, Any] | None = None
        self._aside: JobRun | None = None
        self._lease: Lease | None = None
        self._stage: str | None = None
        self._why: JobError | None = None
        self._ending: Ending | None = None
        self._over = False
        self._task = asyncio.current_task()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Name the stage that the block is."""
        self._stage = name
        log.info("job %s: %s", self.job.job_id, name)
        yield

    @contextmanager
    def aside(self, job: Job) -> Iterator["JobRun"]:
        """Do another job's work within this one, under its lease and with its threads; what that reads counts here."""
        inner = JobRun(self.tools, job)
        inner.threads, inner._lease = self.threads, self._lease
        self._aside = inner
        try:
            yield inner
        finally:
            self._aside = None
            self.meter.bytes += inner.meter.bytes
            self.meter.files += inner.meter.files

    async def check_may_publish(self) -> None:
        """Raise JobError where this job may no longer change anything: its lease is lost, or somebody cancelled it."""
        if self._lease is not None:
            await self._lease.check()
        if not await patiently(self._still_wanted):
            raise _cancelled()

    def end_because(self, why: JobError) -> None:
        """End the work wherever it is; the record will say why. A job that is over stays as it ended."""
        if self._why is None and not self._over and self._task is not None:
            self._why = why
            self._task.cancel()

    def settle(self, ending: Ending) -> None:
        """Note that the job's purpose is fulfilled and cannot be undone: whatever comes now, it has ended so."""
        self._ending = ending

    async def note(self) -> None:
        """Write the record as it is now, however long Redis is away."""
        with suppress(InputError):  # Redis came back without it
            await patiently(lambda: self.tools.jobs.store.update(self._snapshot()))

    async def run(self, work: Callable[["JobRun"], Awaitable[Ending]]) -> None:
        """Do the work under the cell's lease and record how it ended."""
        lost = JobError(Code.WORKER_LOST, "The worker lost the right to work on this cell.")
        leases, owner = self.tools.jobs.leases, self.job.job_id
        try:
            async with (
                leases.hold(self.tools.cell, owner, on_lost=lambda: self.end_because(lost)) as self._lease,
                self.tools.at_work(self._lease),
            ):
                if await self._may_begin():
                    await self._end(await self._end_state(work, self._lease))
        except (UnavailableError, asyncio.CancelledError) as error:
            if self._over:
                raise
            why = error if isinstance(error, UnavailableError) else self._told_to_end()
            log.warning("job %s goes back to the queue: %s", self.job.job_id, why.message)

    @property
    def over(self) -> bool:
        """Tell whether the job has ended; one that never began has not, and waits for another worker."""
        return self._over

    async def _may_begin(self) -> bool:
        """Tell whether the record still says that the job waits: others may have ended it, or begun it and died."""
        record = await patiently(lambda: self.tools.jobs.store.get(self.job.job_id))
        if record is not None and record.state is JobState.QUEUED and record.cancel_requested:
            await self._end(self._failed(_cancelled()))
        self._over = self._over or record is None or record.state.ended
        return not self._over and record is not None and record.state is JobState.QUEUED

    async def _still_wanted(self) -> bool:
        """Tell whether nobody cancelled the job, or ended it as lost."""
        record = await self.tools.jobs.store.get(self.job.job_id)
        return record is not None and not record.state.ended and not record.cancel_requested

    async def _end_state(self, work: Callable[["JobRun"], Awaitable[Ending]], lease: Lease) -> Job:
        error: BackupError | None = None
        limit = self.tools.settings.job_timeout
        deadline = asyncio.timeout(limit)
        try:
            async with deadline:
                await self._begin(lease.fence)
                async with self._reporting():
                    await self._with_sound_cell(lease)
                    self.settle(await work(self))
        except asyncio.CancelledError:
            error = self._told_to_end()
        except BackupError as raised:
            error = raised
        except Exception as raised:
            if deadline.expired():
                error = JobError(Code.JOB_TIMEOUT, f"The job ran longer than {limit:.0f} seconds.")
            else:
                log.exception("job %s: unexpected error", self.job.job_id)
                error = JobError(Code.INTERNAL, f"Unexpected {type(raised).__name__}; see the worker's log.")
        if error is not None and self._ending is None:
            return self._failed(error)
        return self._done()

    async def _with_sound_cell(self, lease: Lease) -> None:
        """Tidy up after a job whose process died: first its restore, then the containers that it held still.

        Raises JobError ROLLBACK_FAILED where the cell is still between old and new.
        """
        try:
            said = await recover_restore(self.tools)
        except JobError as error:
            await end_left(self.tools, lease, error.message.removesuffix("."))
            raise
        if said is not None:
            self.warnings.append(f"Before this job began: {said}.")
        for line in await recover(self.tools.journal, self.tools.engine):
            log.warning("recovery: %s", line)
        await end_left(self.tools, lease, said)

    def _told_to_end(self) -> JobError:
        """Say why the task was cancelled, which goes no further: arq would only log it with a traceback."""
        if self._task is not None:
            self._task.uncancel()
        return self._why or JobError(Code.WORKER_STOPPED, "The worker was stopped before the job had ended.")

    def _done(self) -> Job:
        assert self._ending is not None
        done = self._snapshot(ended=True)
        ending = self._ending
        return replace(
            done, state=ending.state, result=ending.result, error=ending.error, finished_at=datetime.now(UTC)
        )

    def _failed(self, error: BackupError) -> Job:
        log.warning("job %s: %s: %s", self.job.job_id, error.code, error.message)
        state = JobState.CANCELLED if error.code is Code.CANCELLED else JobState.FAILED
        self.parts[:] = [given_up(result, error) for result in self.parts]
        fault = JobFault(error.code, error.message, error.hint)
        now = self._snapshot()
        stopped = replace(now.progress, current=None, rate=None, eta_seconds=None)
        return replace(now, state=state, progress=stopped, error=fault, finished_at=datetime.now(UTC))

    def _snapshot(self, *, ended: bool = False) -> Job:
        parts = self.parts if self._aside is None else [*self.parts, *self._aside.parts]
        current = next((result.part.label for result in parts if result.outcome is PartOutcome.RUNNING), None)
        current = current or part_at(self.counted.current, self.tools.layout) or self._stage
        return replace(
            self.job,
            stage=self._stage,
            progress=self.progress.of(self.counted, current=current, ended=ended),
            components=tuple(self.parts),
            warnings=tuple(self.warnings),
            result=copy.deepcopy(self.result),
        )

    @property
    def counted(self) -> Meter:
        """Give what was counted so far, with what is done aside."""
        if self._aside is None:
            return self.meter
        inner = self._aside.meter
        return Meter(self.meter.files + inner.files, self.meter.bytes + inner.bytes, inner.current)

    async def _begin(self, fence: int) -> None:
        self.job = replace(self.job, state=JobState.RUNNING, started_at=datetime.now(UTC), fence=fence)
        await patiently(lambda: self.tools.jobs.store.update(self.job))

    async def _end(self, job: Job) -> None:
        """Record the end; nothing interrupts that any more, not even that the lease is lost."""
        self._over = True
        self.job = job
        await see_through(self._record())

    async def _record(self) -> None:
        """Write the record, however long Redis is away; a worker that is to end leaves it to whoever recovers."""
        try:
            if not await while_working(self.tools.stopping, patiently(self._written)):
                log.error("job %s ended as %s, which could not be recorded", self.job.job_id, self.job.state)
        except InputError as error:  # Redis came back without it
            log.error("job %s: %s", self.job.job_id, error.message)  # noqa: TRY400 - expected, and said in full

    async def _written(self) -> None:
        await self.tools.jobs.store.update(self.job)

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
            with suppress(BackupError):  # Redis may be away for a while; the end state is written with patience
                await store.update(self._snapshot())
                if not await self._still_wanted():
                    self.end_because(_cancelled())
            await asyncio.sleep(_REPORT_INTERVAL)


def _cancelled() -> JobError:
    return JobError(Code.CANCELLED, "The job was cancelled.")


async def run_job(tools: Tools, job_id: str, work: Callable[[JobRun], Awaitable[Ending]]) -> None:
    """Run a queued job; one that has ended already, or is unknown, is left alone."""
    job = await tools.jobs.store.get(job_id)
    if job is None or job.state.ended:
        log.info("job %s: nothing to do", job_id)
        await tools.jobs.secrets.drop(job_id)  # who ended it may have died before doing so
        return
    run = JobRun(tools, job)
    with bound(job_id=job_id):
        try:
            await run.run(work)
        finally:
            if run.over:
                await see_through(_afterwards(tools, job_id))


async def _afterwards(tools: Tools, job_id: str) -> None:
    """Drop what the job needed and make room, unless the worker ends before Redis is there."""

    async def make_room() -> None:
        await patiently(lambda: tools.jobs.secrets.drop(job_id))
        await patiently(lambda: tools.jobs.store.forget_old(tools.settings.job_history))
        await remove_expired(tools)

    await while_working(tools.stopping, make_room())
