"""What comes after a job: its end goes into the audit log, and out to those who want to be told."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from app.access.audit import AuditEvent, AuditLog
from app.engine.shield import see_through
from app.errors import BackupError, UnavailableError
from app.jobs.deliveries import Delivery
from app.jobs.records import Job
from app.logs import bound
from app.webhooks.targets import default_target
from workers.tools import Tools
from workers.webhooks import attempted, messages_of

log = logging.getLogger("cell_backup.webhooks")

_LOOK_SECONDS = 1.5  # jobs that end elsewhere, and pauses that are over, are noticed within this
_CLAIM_SECONDS = 60.0  # what a process held that died is due again after this
_RECORD_SECONDS = 40.0  # after a call of 15 seconds the claim still holds
_LAST_SECONDS = 3.0
_AGAIN_SECONDS = 0.2
_AT_A_TIME = 8  # so that a receiver that hangs holds up nobody else


class Aftermath:
    """Tell the audit log and the receivers of webhooks how jobs ended; works beside the jobs of a worker."""

    def __init__(self, tools: Tools, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._tools = tools
        self._clock = clock
        self._audit = AuditLog(tools.settings.state_dir)
        self._ended = asyncio.Event()
        self._due = asyncio.Event()

    def wake(self) -> None:
        """Look at once: a job has ended."""
        self._ended.set()

    async def tell(self) -> None:
        """Tell once of every job whose end nobody has told yet; raise UnavailableError where Redis is away."""
        for job in await self._tools.jobs.store.untold():
            try:
                await self._tell(job)
            except UnavailableError:
                raise
            except Exception:  # of one job: the others are told all the same, and this one again later
                log.exception("job %s: its end could not be told", job.job_id)

    async def deliver(self) -> bool:
        """Make one attempt to deliver what is due longest; False where nothing is due.

        Raise UnavailableError where Redis is away.
        """
        delivery = await self._claim()
        if delivery is None:
            return False
        await self._attempt(delivery)
        return True

    async def keep_telling(self) -> None:
        """Tell for ever."""
        await self._for_ever(self.tell, self._ended)

    async def keep_delivering(self) -> None:
        """Deliver for ever, a few at a time."""
        async with asyncio.TaskGroup() as group:
            free = asyncio.Semaphore(_AT_A_TIME)

            async def deliver_all() -> None:
                await free.acquire()
                try:
                    while (delivery := await self._claim()) is not None:
                        group.create_task(self._attempt(delivery)).add_done_callback(lambda _: free.release())
                        await free.acquire()
                finally:
                    free.release()

            await self._for_ever(deliver_all, self._due)

    async def last_words(self) -> None:
        """Tell of jobs that ended as this worker did, for a moment; the rest is up to whoever comes next."""
        with suppress(BackupError, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self.tell()
                while await self.deliver():
                    pass

    async def _for_ever(self, work: Callable[[], Awaitable[None]], woken: asyncio.Event) -> None:
        while True:
            woken.clear()
            try:
                await work()
            except UnavailableError as error:
                log.warning("webhooks wait: %s", error.message)
            except Exception:
                log.exception("webhooks: unexpected error")
            with suppress(TimeoutError):
                # not `wait_for`: before Python 3.12 it loses a cancellation that comes with what it waits for
                async with asyncio.timeout(_LOOK_SECONDS):
                    await woken.wait()

    async def _tell(self, job: Job) -> None:
        """Bring the messages on their way and write the audit line; a crash in between tells again, never less."""
        for delivery in messages_of(job, self._tools.settings):
            await self._tools.jobs.deliveries.add(delivery)
        self._due.set()
        await asyncio.to_thread(self._write, job)
        await self._tools.jobs.store.mark_told(job.job_id)

    def _write(self, job: Job) -> None:
        self._audit.write(
            AuditEvent.JOB_ENDED,
            what=job.kind,
            by=job.asked_by,
            target=job.backup_id,
            job_id=job.job_id,
            outcome=job.state,
            code=None if job.error is None else job.error.code,
        )

    async def _claim(self) -> Delivery | None:
        claim = asyncio.ensure_future(self._tools.jobs.deliveries.claim(self._clock(), seconds=_CLAIM_SECONDS))
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            await see_through(self._give_back(claim))
            raise

    async def _give_back(self, claim: Awaitable[Delivery | None]) -> None:
        """Have what was claimed be due again at once, for whoever comes next: this process ends."""
        with suppress(UnavailableError, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                if (delivery := await claim) is not None:
                    await self._tools.jobs.deliveries.record(delivery)

    async def _attempt(self, delivery: Delivery) -> None:
        """Try once and record what came of it; what cannot be recorded comes back when its claim is over."""
        with bound(job_id=delivery.job_id):
            attempt = asyncio.ensure_future(attempted(self._tools, delivery))
            try:
                await self._record(await attempt)
            except asyncio.CancelledError:
                if attempt.cancelled():
                    await see_through(self._give_back(_ready(delivery)))
                raise
            except UnavailableError as error:
                log.warning("webhook %s waits: %s", delivery.delivery_id, error.message)
            except Exception:
                log.exception("webhook %s: unexpected error", delivery.delivery_id)

    async def _record(self, delivery: Delivery) -> None:
        deadline = time.monotonic() + _RECORD_SECONDS
        while True:
            try:
                await self._tools.jobs.deliveries.record(delivery)
            except UnavailableError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return


async def _ready(delivery: Delivery) -> Delivery:
    return delivery


@asynccontextmanager
async def telling(tools: Tools) -> AsyncIterator[Callable[[], None]]:
    """Tell how jobs end while the block runs; gives a function to call when one has ended in this process.

    Raise InputError INVALID_SETTING where the webhook for all jobs cannot be used.
    """
    default_target(tools.settings)
    aftermath = Aftermath(tools)
    loops = [asyncio.create_task(aftermath.keep_telling()), asyncio.create_task(aftermath.keep_delivering())]
    try:
        yield aftermath.wake
    finally:
        await _end(loops)
        await aftermath.last_words()


async def _end(loops: list[asyncio.Task[None]]) -> None:
    """Cancel until they have ended: redis-py sends by wait_for, which before Python 3.12 may swallow a cancellation."""
    while going := [loop for loop in loops if not loop.done()]:
        for loop in going:
            loop.cancel()
        await asyncio.wait(going, timeout=_AGAIN_SECONDS)
