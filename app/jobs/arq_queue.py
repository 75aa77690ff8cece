"""The queue on arq: how work is handed over."""

from datetime import timedelta

from arq.connections import ArqRedis
from arq.constants import health_check_key_suffix, in_progress_key_prefix
from arq.utils import timestamp_ms
from redis.exceptions import WatchError

from app.jobs.connection import RedisLink
from app.jobs.records import Job

EXPIRES = timedelta(days=7)


def queue_name(namespace: str) -> str:
    """Name the arq queue of a cell."""
    return f"{namespace}:queue"


class ArqQueue:
    """Hand jobs to the arq workers of one cell."""

    def __init__(self, link: RedisLink, *, namespace: str) -> None:
        self._link = link
        self._queue = queue_name(namespace)

    async def enqueue(self, job: Job) -> None:
        """Queue the job by its kind and id; a job that is queued already stays as it is, but is due now."""

        async def put(client: ArqRedis) -> None:
            queued = await client.enqueue_job(
                job.kind, job_id=job.job_id, _job_id=job.job_id, _queue_name=self._queue, _expires=EXPIRES
            )
            if queued is not None:
                return
            # arq gives None both for a job that is there and for a connection that broke in its transaction
            due = await client.zscore(self._queue, job.job_id)
            if due is None:
                raise WatchError("the connection broke while the job was queued")
            if due > (now := timestamp_ms()):
                await client.zadd(self._queue, {job.job_id: now}, xx=True)

        await self._link.run(put)

    async def known(self) -> set[str]:
        """Give the ids of all jobs that wait here, or that a worker took.

        Not those that would be taken later only: they were queued before a clock was set back.
        """
        ids = await self._link.run(lambda client: client.zrangebyscore(self._queue, "-inf", timestamp_ms()))
        return {job_id.decode() for job_id in ids}

    async def workers_alive(self) -> bool:
        """Tell whether a worker reported itself within the last minute."""
        return bool(await self._link.run(lambda client: client.exists(self._queue + health_check_key_suffix)))

    async def forget_orphans(self) -> list[str]:
        """Forget that workers took jobs of this queue, and give their ids: so others may take them at once.

        A job that a living worker waits with may then be taken twice. That does no harm: it begins once, because its
        record says so.
        """

        async def forget(client: ArqRedis) -> list[str]:
            ids = [job_id.decode() for job_id in await client.zrange(self._queue, 0, -1)]
            async with client.pipeline(transaction=True) as pipe:
                for job_id in ids:
                    pipe.delete(in_progress_key_prefix + job_id)
                deleted = await pipe.execute() if ids else []
            return [job_id for job_id, count in zip(ids, deleted, strict=True) if count]

        return await self._link.run(forget)
