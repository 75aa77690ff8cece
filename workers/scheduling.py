"""Makes the jobs of schedules when their time has come; of several workers that look, one makes the job."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from app.errors import BackupError, Code, InputError, UnavailableError
from app.jobs.instance_key import digest_under_key
from app.jobs.records import Idempotency, Job, JobFault, JobKind, JobState
from app.retention.policy_file import RetentionFile
from app.scheduling.firing import Prepared, prepare, refused
from app.scheduling.schedule_file import ScheduleFile
from app.scheduling.schedules import Due, Kept, LastResult, Outcome, Overlap, Schedule, ScheduleKind, due, is_ahead
from workers.tools import Tools

log = logging.getLogger("cell_backup.schedules")

_LOOK_SECONDS = 5.0


class Scheduler:
    """Look at the schedules, and make the jobs that are due."""

    def __init__(self, tools: Tools, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._tools = tools
        self._clock = clock
        self._file = ScheduleFile(tools.settings)

    async def begin(self) -> None:
        """Take up the schedule of the settings; InputError INVALID_SETTING where the file cannot be used."""
        await asyncio.to_thread(self._file.follow_settings, self._clock())

    async def keep_looking(self) -> None:
        """Look again and again, whatever happens; the same trouble is said once."""
        has_begun, said = False, None
        while True:
            try:
                if not has_begun:
                    await self.begin()
                    has_begun = True
                await self.look()
                said = None
            except BackupError as error:
                if error.message != said:
                    log.warning("schedules wait: %s", error.message)
                said = error.message
            except Exception:
                log.exception("schedules: unexpected error")
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Make what is due now; InputError where the file cannot be used, UnavailableError where Redis is away."""
        for kept in await asyncio.to_thread(self._file.read):
            try:
                await self._prune_after(kept)
                await self._look_at(kept)
            except UnavailableError:
                raise
            except BackupError as error:
                log.warning("schedule %s waits: %s", kept.schedule.name, error.message)
            except Exception:  # of one schedule: the others have their time, and this one has it again
                log.exception("schedule %s: unexpected error", kept.schedule.name)

    async def _look_at(self, kept: Kept) -> None:
        schedule, now = kept.schedule, self._clock()
        if is_ahead(kept, now):
            log.warning("schedule %s: the clock was put back; its times count from now on", schedule.name)
            await asyncio.to_thread(self._file.note, schedule.name, since=now)
            return
        found = await asyncio.to_thread(due, kept, now)
        if found is None:
            return
        if found.late and not schedule.catch_up:
            result = LastResult(now, Outcome.MISSED, found.fire_time, found.missed)
        else:
            try:
                result = await self._fire(schedule, found, now)
            except InputError as error:
                if error.code is not Code.QUEUE_FULL:
                    raise
                # its time is not over: it is tried again until the next one comes
                await self._note(schedule, _refused(found, kept.since, error))
                return
        log.info("schedule %s: %s", schedule.name, result.outcome)
        await asyncio.to_thread(self._file.note, schedule.name, since=found.fire_time, last=result)

    async def _fire(self, schedule: Schedule, found: Due, now: datetime) -> LastResult:
        """Make the job of a time, or find the one that another worker made; InputError QUEUE_FULL."""
        once = await self._once("schedule", schedule.name, found.fire_time.isoformat())
        job = await self._tools.jobs.store.made_before(once)
        if job is None and schedule.overlap is Overlap.SKIP and (busy := await self._busy(schedule)) is not None:
            message = f"Job {busy.job_id} had not ended."
            return LastResult(now, Outcome.SKIPPED, found.fire_time, found.missed, busy.job_id, message=message)
        if job is None:
            try:
                prepared = await prepare(schedule, self._tools.settings, self._tools.store, now)
            except UnavailableError:
                raise
            except BackupError as error:
                return await self._refuse(schedule, found, once, error)
            job = await self._make(schedule, prepared, once)
        if job.state is JobState.QUEUED:
            await self._enqueue(job)
        return LastResult(now, Outcome.STARTED, found.fire_time, found.missed, job.job_id)

    async def _refuse(self, schedule: Schedule, found: Due, once: Idempotency, error: BackupError) -> LastResult:
        """Make a job that has failed, so that everyone is told who is told of failures; InputError QUEUE_FULL."""
        now = self._clock()
        job = await self._make(schedule, refused(schedule, now), once)
        fault = JobFault(error.code, error.message, error.hint)
        await self._tools.jobs.store.update(replace(job, state=JobState.FAILED, error=fault, finished_at=now))
        return replace(_refused(found, now, error), job_id=job.job_id)

    async def _make(self, schedule: Schedule, prepared: Prepared, once: Idempotency) -> Job:
        """Write the record of a job; where another worker was quicker, give its record."""
        jobs, settings = self._tools.jobs, self._tools.settings
        job = Job(
            job_id=uuid.uuid4().hex,
            kind=prepared.kind,
            state=JobState.QUEUED,
            created_at=self._clock(),
            backup_id=prepared.backup_id,
            request=prepared.request,
            asked_by=f"schedule {schedule.name}",
        )
        if prepared.secret is not None:
            await jobs.secrets.seal(job.job_id, prepared.secret)
        try:
            made = await jobs.store.create(job, max_queued=settings.max_queued_jobs, idempotency=once)
        except InputError:  # where Redis went away instead, the record may have been written, and needs its secret
            await jobs.secrets.drop(job.job_id)
            raise
        if made.job_id != job.job_id:
            await jobs.secrets.drop(job.job_id)
        return made

    async def _prune_after(self, kept: Kept) -> None:
        """Apply retention once after a backup of this schedule that succeeded."""
        last = kept.last
        if last is None or last.job_id is None or last.outcome is Outcome.REFUSED:
            return
        if kept.schedule.kind is not ScheduleKind.BACKUP or kept.pruned_after == last.job_id:
            return
        job = await self._tools.jobs.store.get(last.job_id)
        if job is not None and not job.state.ended:
            return
        if job is not None and job.state is JobState.SUCCEEDED and await self._retention_is_on():
            once = await self._once("prune after", last.job_id)
            prepared = Prepared(JobKind.PRUNE, "", {"schedule": kept.schedule.name}, None)
            await self._enqueue(await self._make(kept.schedule, prepared, once))
        await asyncio.to_thread(self._file.note, kept.schedule.name, pruned_after=last.job_id)

    async def _retention_is_on(self) -> bool:
        try:
            return (await asyncio.to_thread(RetentionFile(self._tools.settings).read)).active
        except InputError:
            return True  # the job will fail, and say why

    async def _busy(self, schedule: Schedule) -> Job | None:
        kind = JobKind(schedule.kind)
        active = await self._tools.jobs.store.active()
        return next((job for job in active if job.kind is kind and job.request.get("schedule") == schedule.name), None)

    async def _enqueue(self, job: Job) -> None:
        try:
            await self._tools.jobs.queue.enqueue(job)
        except UnavailableError as error:  # the record is durable: the watch puts it into the queue
            log.warning("job %s waits to be put into the queue: %s", job.job_id, error.message)

    async def _once(self, *what: str) -> Idempotency:
        text = "\0".join((self._tools.cell, *what)).encode()
        digest = await asyncio.to_thread(digest_under_key, self._tools.settings.state_dir, "schedule", text)
        return Idempotency(key=digest, fingerprint=digest)

    async def _note(self, schedule: Schedule, last: LastResult) -> None:
        await asyncio.to_thread(self._file.note, schedule.name, last=last)


def _refused(found: Due, at: datetime, error: BackupError) -> LastResult:
    return LastResult(at, Outcome.REFUSED, found.fire_time, found.missed, code=error.code, message=error.message)


@asynccontextmanager
async def scheduling(tools: Tools) -> AsyncIterator[None]:
    """Make the jobs of schedules while the block runs; a file of theirs that cannot be used stops nothing else."""
    task = asyncio.create_task(Scheduler(tools).keep_looking())
    try:
        yield
    finally:
        while not task.done():  # redis-py sends by wait_for, which before Python 3.12 may swallow a cancellation
            task.cancel()
            await asyncio.wait({task}, timeout=0.2)
