"""arq's worker, set up for the queue of a cell: it outlives a Redis that is away, and ends within moments."""

import asyncio
import logging
from contextlib import suppress
from time import time
from typing import Any

from arq.utils import poll
from arq.worker import Worker
from redis.exceptions import RedisError
from typing_extensions import override

from app.jobs.address import RedisAddress
from app.jobs.arq_queue import queue_name
from app.jobs.connection import arq_client, from_json, heeding_cancellation, to_json

logger = logging.getLogger(__name__)

HEALTH_INTERVAL = 15
POLL_DELAY = 0.2
NO_LIMIT = 10 * 365 * 24 * 3600.0  # a job limits itself once it has begun; arq would count its wait for the lease too
IN_PROGRESS = 60  # seconds until another worker may take a job that one took: its record says whether it has begun
MOST_TRIES = 1000  # the record says whether a job may begin, not how often it was taken
AWAY_PAUSE = 1.0
CLOSE_LIMIT = 3.0


def worker_settings(address: RedisAddress, *, namespace: str, handle_signals: bool) -> dict[str, Any]:
    """Give the keyword arguments of SteadyWorker, except functions, on_startup and on_shutdown."""
    return {
        "redis_pool": arq_client(address),
        "queue_name": queue_name(namespace),
        "job_serializer": to_json,
        "job_deserializer": from_json,
        "health_check_interval": HEALTH_INTERVAL,
        "poll_delay": POLL_DELAY,
        "max_jobs": 1,
        "max_tries": MOST_TRIES,
        "retry_jobs": False,  # a job that was cut off is recorded as such, never run again by itself
        "job_timeout": NO_LIMIT,
        "keep_result": 0,
        "log_results": False,
        "handle_signals": handle_signals,
    }


class SteadyWorker(Worker):
    """Be arq's worker, but one that no error of Redis ends."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.in_progress_timeout_s = IN_PROGRESS

    @override
    async def main(self) -> None:
        self.ctx["redis"] = self.pool
        if self.on_startup:
            await self.on_startup(self.ctx)
        async for _ in poll(self.poll_delay_s):
            await heeding_cancellation(self._poll_iteration())

    @override
    async def _poll_iteration(self) -> None:
        # where the clock was set back, arq would not report itself until it is there again
        self._last_health_check = min(self._last_health_check, time())
        try:
            await super()._poll_iteration()
        except (RedisError, OSError) as error:
            # also what a job's task raised that could not note its end here: its record has it
            logger.warning("the queue cannot be read, and is tried again: %s", error)
            await asyncio.sleep(AWAY_PAUSE)
            self._count_again()

    def _count_again(self) -> None:
        """Forget the job that arq counted before it failed to take it: else it would take no other one."""
        while self.job_counter > sum(not task.done() for task in self.tasks.values()):
            self._release_sem_dec_counter_on_complete()


async def close_worker(worker: Worker, running: set[asyncio.Task[Any]] | None = None) -> None:
    """Cancel the worker's jobs, wait until each of those that are `running` has cleaned up, close the worker.

    arq's own close stops half way, with its connections open, where a job is cancelled while arq records its end, and
    waits for a Redis that is away.
    """
    tasks = set(worker.tasks.values())
    for task in tasks:
        if not task.cancelling():  # a signal has cancelled it already
            task.cancel()
    if running:  # arq lets go of one that is cancelled twice, before Python 3.12
        await asyncio.wait(set(running))
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_LIMIT)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    worker.tasks.clear()
    with suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_LIMIT):
            await worker.pool.delete(worker.health_check_key)
    await worker.pool.aclose()
