"""Job records on Redis.

`<namespace>:job:<id>`             hash: record (JSON), state, ended, cancel, fence, made (digest of the first record)
`<namespace>:jobs`                 every id, sorted by creation
`<namespace>:active`               the ids that are queued or running, sorted by creation
`<namespace>:queued`               the ids that are queued
`<namespace>:sole`                 hash: kind -> the id that is queued or running, of jobs that go one at a time
`<namespace>:idempotency:<key>`    hash: job, fingerprint; for a day
`<namespace>:events:<id>`          stream: data (JSON); goes an hour after the job's end
`<namespace>:untold`               the ids whose end has not been told, sorted by end
`<namespace>:totals:<sort>`        hash: ended:<state>, seconds, bytes, last_success (JSON)
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from arq.connections import ArqRedis

from app.jobs.base import Totals
from app.jobs.codec import decode_job, encode_event, encode_job
from app.jobs.connection import RedisLink
from app.jobs.endings import COUNTED, SUCCESSES, counted_as, end_of, seconds_of
from app.jobs.events import KEPT, event_data, place_after
from app.jobs.records import Event, Idempotency, Job, JobState
from app.jobs.refusals import id_taken, in_the_way, key_used, must_be_queued, no_such_job, queue_full
from app.jobs.store_scripts import CANCEL, CREATE, FORGET, MADE_BEFORE, UPDATE

Argument = str | bytes | int

KEY_LIFETIME = timedelta(days=1)
EVENTS_LIFETIME = timedelta(hours=1)  # after the end


class RedisJobStore:
    """Keep job records on Redis, under a namespace of one cell."""

    def __init__(self, link: RedisLink, *, namespace: str) -> None:
        self._link = link
        self._namespace = namespace
        self._prefix = f"{namespace}:job:"
        self._jobs = f"{namespace}:jobs"
        self._active = f"{namespace}:active"
        self._queued = f"{namespace}:queued"
        self._sole = f"{namespace}:sole"
        self._untold = f"{namespace}:untold"

    async def create(
        self, job: Job, *, max_queued: int, sole: bool = False, idempotency: Idempotency | None = None
    ) -> Job:
        """Write a new queued record; raise InputError, or JobError(INTERNAL) where the id is taken."""
        must_be_queued(job)
        request = idempotency or Idempotency("", "")
        keys = [self._prefix + job.job_id, self._jobs, self._active, self._queued, self._sole, self._request(request)]
        record: list[Argument] = [job.job_id, encode_job(job), job.state, repr(job.created_at.timestamp())]
        limits: list[Argument] = [max_queued, job.kind if sole else ""]
        known: list[Argument] = [self._prefix, request.fingerprint, _seconds(KEY_LIFETIME)]
        answer, *more = await self._link.evaluate(CREATE, keys, [*record, *limits, *known])
        if answer == b"after":
            raise in_the_way(job, more[0].decode())
        if answer == b"full":
            raise queue_full(max_queued)
        if answer == b"taken":
            raise id_taken(job)
        if answer == b"conflict":
            raise key_used()
        return _as_it_is(*more)

    async def made_before(self, idempotency: Idempotency) -> Job | None:
        """Give the job that this request made before, or None; raise InputError(IDEMPOTENCY_CONFLICT)."""
        fingerprint, *fields = await self._link.evaluate(MADE_BEFORE, [self._request(idempotency)], [self._prefix])
        job = _job(fields)
        if job is not None and fingerprint.decode() != idempotency.fingerprint:
            raise key_used()
        return job

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
        """Replace the record and tell its followers; raise InputError(JOB_NOT_FOUND) where there is none."""
        keys = [
            *(self._prefix + job.job_id, self._active, self._queued, self._sole),
            *(self._events(job.job_id), self._untold, self._totals(counted_as(job))),
        ]
        flags = [int(job.state.ended), int(job.cancel_requested)]
        record: list[Argument] = [job.job_id, encode_job(job), job.state, *flags, job.kind]
        event: list[Argument] = [encode_event(event_data(job)), KEPT, _seconds(EVENTS_LIFETIME)]
        seconds = repr(seconds_of(job)) if job.state in SUCCESSES else ""
        ending: list[Argument] = [repr(end_of(job).timestamp()), seconds, job.progress.bytes_done, job.fence or 0]
        if await self._link.evaluate(UPDATE, keys, [*record, *event, *ending]) == b"missing":
            raise no_such_job(job.job_id)

    async def events(self, job_id: str, *, after: str | None, limit: int = 100) -> list[Event]:
        """Give what happened to a job after that event id, oldest first; what is no event id is the beginning."""
        milliseconds, number = place_after(after)
        place: dict[Any, Any] = {self._events(job_id): f"{milliseconds}-{number}"}
        # not XRANGE, which knows "after" only since Redis 6.2
        streams: list[Any] = await self._link.run(lambda client: client.xread(place, count=limit))
        found = streams[0][1] if streams else []
        return [Event(event_id.decode(), json.loads(fields[b"data"])) for event_id, fields in found]

    async def untold(self, limit: int = 100) -> list[Job]:
        """Give jobs that ended and whose end nobody has told yet, oldest end first."""
        if limit <= 0:
            return []
        return await self._known(await self._link.run(lambda client: client.zrange(self._untold, 0, limit - 1)))

    async def mark_told(self, job_id: str) -> None:
        """Note that a job's end has been told."""
        await self._link.run(lambda client: client.zrem(self._untold, job_id))

    async def totals(self) -> Mapping[str, Totals]:
        """Give by sort what ended jobs came to, those that are forgotten included."""

        async def fetch(client: ArqRedis) -> list[dict[bytes, bytes]]:
            async with client.pipeline(transaction=False) as pipe:
                for sort in COUNTED:
                    pipe.hgetall(self._totals(sort))
                return await pipe.execute()

        return {sort: _totals(fields) for sort, fields in zip(COUNTED, await self._link.run(fetch), strict=True)}

    async def request_cancel(self, job_id: str) -> Job | None:
        """Mark the job as to be cancelled and give its record as it is now; None where there is no such job."""
        return _job(await self._link.evaluate(CANCEL, [self._prefix + job_id], []))

    async def forget_old(self, keep: int) -> None:
        """Remove the oldest ended records beyond `keep`, but none whose end or webhook is still to be told."""
        keys = [self._jobs, self._active, self._untold, f"{self._namespace}:webhooks:due"]
        await self._link.evaluate(FORGET, keys, [self._namespace, keep])

    def _request(self, idempotency: Idempotency) -> str:
        return f"{self._namespace}:idempotency:{idempotency.key}"

    def _events(self, job_id: str) -> str:
        return f"{self._namespace}:events:{job_id}"

    def _totals(self, sort: str) -> str:
        return f"{self._namespace}:totals:{sort}"

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
    return None if record is None else _as_it_is(record, cancel)


def _as_it_is(record: bytes, cancel: bytes | None) -> Job:
    job = decode_job(record)
    return replace(job, cancel_requested=True) if cancel else job


def _seconds(lifetime: timedelta) -> int:
    return int(lifetime.total_seconds())


def _totals(fields: dict[bytes, bytes]) -> Totals:
    last = fields.get(b"last_success")
    return Totals(
        ended={state: int(fields[field]) for state in JobState if (field := f"ended:{state}".encode()) in fields},
        seconds=float(fields.get(b"seconds", 0)),
        bytes=int(fields.get(b"bytes", 0)),
        last_success=None if last is None else decode_job(last),
    )
