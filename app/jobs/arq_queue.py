"""The queue on arq: how work is handed over, and how arq's worker is set up for it."""

from datetime import timedelta
from typing import Any

from arq.connections import ArqRedis
from arq.constants import health_check_key_suffix, in_progress_key_prefix
from redis.exceptions import WatchError

from app.jobs.address import RedisAddress
from app.jobs.connection import RedisLink, arq_settings, from_json, to_json
from app.jobs.records import Job
from app.settings import Settings

EXPIRES = timedelta(days=7)
HEALTH_INTERVAL = 15
POLL_DELAY = 0.2
TIMEOUT_MARGIN = 60  # seconds after the job's own limit, for its clean-up; then arq cuts it off


def queue_name(namespace: str) -> str:
    """Name the arq queue of a cell."""
    return f"{namespace}:queue"


class ArqQueue:
    """Hand jobs to the arq workers of one cell."""

    def __init__(self, link: RedisLink, *, namespace: str) -> None:
        self._link = link
        self._queue = queue_name(namespace)

    async def enqueue(self, job: Job) -> None:
        """Queue the job by its kind and id; a job that is queued already stays as it is."""

        async def put(client: ArqRedis) -> None:
            queued = await client.enqueue_job(
                job.kind, job_id=job.job_id, _job_id=job.job_id, _queue_name=self._queue, _expires=EXPIRES
            )
            # arq gives None both for a job that is there and for a connection that broke in its transaction
            if queued is None and await client.zscore(self._queue, job.job_id) is None:
                raise WatchError("the connection broke while the job was queued")

        await self._link.run(put)

    async def workers_alive(self) -> bool:
        """Tell whether a worker reported itself within the last minute."""
        return bool(await self._link.run(lambda client: client.exists(self._queue + health_check_key_suffix)))

    async def forget_orphans(self) -> list[str]:
        """Forget that a dead worker of this queue had jobs in progress, and give their ids.

        For the start of the one worker of a cell: arq would leave such a job alone until its whole time limit is over.
        """

        async def forget(client: ArqRedis) -> list[str]:
            ids = [job_id.decode() for job_id in await client.zrange(self._queue, 0, -1)]
            async with client.pipeline(transaction=True) as pipe:
                for job_id in ids:
                    pipe.delete(in_progress_key_prefix + job_id)
                deleted = await pipe.execute() if ids else []
            return [job_id for job_id, count in zip(ids, deleted, strict=True) if count]

        return await self._link.run(forget)


def worker_settings(
    settings: Settings, address: RedisAddress, *, namespace: str, handle_signals: bool
) -> dict[str, Any]:
    """Give the keyword arguments of arq.worker.Worker, except functions, on_startup and on_shutdown."""
    return {
        "redis_settings": arq_settings(address),
        "queue_name": queue_name(namespace),
        "job_serializer": to_json,
        "job_deserializer": from_json,
        "health_check_interval": HEALTH_INTERVAL,
        "poll_delay": POLL_DELAY,
        "max_jobs": 1,
        "max_tries": 1,
        "retry_jobs": False,  # a job that was cut off is recorded as such, never run again by itself
        "job_timeout": settings.job_timeout + TIMEOUT_MARGIN,
        "keep_result": 0,
        "log_results": False,
        "handle_signals": handle_signals,
    }
