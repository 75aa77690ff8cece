"""Job records on Redis.

`<namespace>:job:<id>`  hash: record (JSON), state, ended, cancel
`<namespace>:jobs`      every id, sorted by creation
`<namespace>:active`    the ids that are queued or running, sorted by creation
`<namespace>:queued`    the ids that are queued
`<namespace>:sole`      hash: kind -> the id that is queued or running, of jobs that go one at a time

Every change is one script, so two processes never see half of one; each script comes out the same when run twice.
"""

from dataclasses import replace
from typing import Any

from arq.connections import ArqRedis

from app.errors import Code, InputError, JobError
from app.jobs.codec import decode_job, encode_job
from app.jobs.connection import RedisLink
from app.jobs.records import Job, JobState
from app.jobs.refusals import in_the_way

# KEYS: job, jobs, active, queued, sole; ARGV: id, record, state, score, most queued, kind where it is sole
CREATE = """
local known = redis.call('hget', KEYS[1], 'record')
if known then return known == ARGV[2] and 'ok' or 'taken' end
local other = ARGV[6] ~= '' and redis.call('hget', KEYS[5], ARGV[6])
if other then return 'after ' .. other end
if redis.call('scard', KEYS[4]) >= tonumber(ARGV[5]) then return 'full' end
redis.call('hset', KEYS[1], 'record', ARGV[2], 'state', ARGV[3], 'ended', '0')
redis.call('zadd', KEYS[2], ARGV[4], ARGV[1])
redis.call('zadd', KEYS[3], ARGV[4], ARGV[1])
redis.call('sadd', KEYS[4], ARGV[1])
if ARGV[6] ~= '' then redis.call('hset', KEYS[5], ARGV[6], ARGV[1]) end
return 'ok'
"""

# KEYS: job, active, queued, sole; ARGV: id, record, state, ended, cancel, kind
UPDATE = """
local ended = redis.call('hget', KEYS[1], 'ended')
if not ended then return 'missing' end
if ended == '1' then return 'ok' end
redis.call('hset', KEYS[1], 'record', ARGV[2], 'state', ARGV[3], 'ended', ARGV[4])
if ARGV[5] == '1' then redis.call('hset', KEYS[1], 'cancel', '1') end
if ARGV[4] == '1' then
  redis.call('zrem', KEYS[2], ARGV[1])
  if redis.call('hget', KEYS[4], ARGV[6]) == ARGV[1] then redis.call('hdel', KEYS[4], ARGV[6]) end
end
if ARGV[3] == 'queued' then redis.call('sadd', KEYS[3], ARGV[1]) else redis.call('srem', KEYS[3], ARGV[1]) end
return 'ok'
"""

# KEYS: the job
CANCEL = """
if redis.call('hget', KEYS[1], 'ended') == '0' then redis.call('hset', KEYS[1], 'cancel', '1') end
return redis.call('hmget', KEYS[1], 'record', 'cancel')
"""

# KEYS: jobs, active; ARGV: prefix of job keys, how many ended ones stay
FORGET = """
local extra = redis.call('zcard', KEYS[1]) - redis.call('zcard', KEYS[2]) - tonumber(ARGV[2])
if extra <= 0 then return end
for _, id in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do
  if extra <= 0 then return end
  if not redis.call('zscore', KEYS[2], id) then
    redis.call('del', ARGV[1] .. id)
    redis.call('zrem', KEYS[1], id)
    extra = extra - 1
  end
end
"""


class RedisJobStore:
    """Keep job records on Redis, under a namespace of one cell."""

    def __init__(self, link: RedisLink, *, namespace: str) -> None:
        self._link = link
        self._prefix = f"{namespace}:job:"
        self._jobs = f"{namespace}:jobs"
        self._active = f"{namespace}:active"
        self._queued = f"{namespace}:queued"
        self._sole = f"{namespace}:sole"

    async def create(self, job: Job, *, max_queued: int, sole: bool = False) -> None:
        """Write a new queued record; raise InputError, or JobError(INTERNAL) where the id is taken."""
        if job.state is not JobState.QUEUED:
            raise JobError(Code.INTERNAL, f"Job {job.job_id} is {job.state}; a new record is queued.")
        keys = [self._prefix + job.job_id, self._jobs, self._active, self._queued, self._sole]
        score = repr(job.created_at.timestamp())
        sole_kind = job.kind if sole else ""
        answer: bytes = await self._link.evaluate(
            CREATE, keys, [job.job_id, encode_job(job), job.state, score, max_queued, sole_kind]
        )
        if answer.startswith(b"after "):
            raise in_the_way(job, answer.removeprefix(b"after ").decode())
        if answer == b"full":
            raise InputError(Code.QUEUE_FULL, f"{max_queued} jobs wait already.")
        if answer == b"taken":
            raise JobError(Code.INTERNAL, f"Job id {job.job_id} is taken.")

    async def get(self, job_id: str) -> Job | None:
        """Give the record, or None."""
        return (await self._read([job_id]))[0]

    async def page(self, *, limit: int, offset: int = 0) -> tuple[list[Job], int]:
        """Give records, newest first, and how many there are in all."""

        async def ids_and_total(client: ArqRedis) -> list[Any]:
            async with client.pipeline(transaction=True) as pipe:
                pipe.zrevrangebyscore(self._jobs, "+inf", "-inf", start=offset, num=limit)
                pipe.zcard(self._jobs)
                return await pipe.execute()

        ids, total = await self._link.run(ids_and_total)
        return await self._known(ids), int(total)

    async def active(self) -> list[Job]:
        """Give every job that is queued or running, oldest first."""
        jobs = await self._known(await self._link.run(lambda client: client.zrange(self._active, 0, -1)))
        return [job for job in jobs if not job.state.ended]

    async def update(self, job: Job) -> None:
        """Replace the record; raise InputError(JOB_NOT_FOUND) where there is none."""
        keys = [self._prefix + job.job_id, self._active, self._queued, self._sole]
        flags = [str(int(job.state.ended)), str(int(job.cancel_requested))]
        answer = await self._link.evaluate(UPDATE, keys, [job.job_id, encode_job(job), job.state, *flags, job.kind])
        if answer == b"missing":
            raise InputError(Code.JOB_NOT_FOUND, f"There is no job {job.job_id}.")

    async def request_cancel(self, job_id: str) -> Job | None:
        """Mark the job as to be cancelled and give its record as it is now; None where there is no such job."""
        return _job(await self._link.evaluate(CANCEL, [self._prefix + job_id], []))

    async def forget_old(self, keep: int) -> None:
        """Remove the oldest ended records beyond `keep`."""
        await self._link.evaluate(FORGET, [self._jobs, self._active], [self._prefix, keep])

    async def _known(self, ids: list[bytes]) -> list[Job]:
        return [job for job in await self._read([job_id.decode() for job_id in ids]) if job is not None]

    async def _read(self, ids: list[str]) -> list[Job | None]:
        async def fetch(client: ArqRedis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                for job_id in ids:
                    pipe.hmget(self._prefix + job_id, ["record", "cancel"])
                return await pipe.execute()

        return [_job(fields) for fields in await self._link.run(fetch)] if ids else []


def _job(fields: list[bytes | None]) -> Job | None:
    record, cancel = fields
    if record is None:
        return None
    job = decode_job(record)
    return replace(job, cancel_requested=True) if cancel else job
