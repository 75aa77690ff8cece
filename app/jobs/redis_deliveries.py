"""Webhooks on Redis.

`<namespace>:webhook:<delivery id>`  hash: record (JSON), last (time of the last attempt), held (claimed until then),
                                     again (it is to be sent again, since then, whatever the record says)
`<namespace>:webhooks:of:<job id>`   the delivery ids of a job, sorted by creation; forgotten with the job's record
`<namespace>:webhooks:due`           the ids that are pending, sorted by when the next attempt is due
`<namespace>:webhooks:attempts`      hash: delivered, failed, given_up: how many attempts

A claim moves the due time on, so what a process held that died is due again by itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from arq.connections import ArqRedis

from app.jobs.codec import decode_delivery, encode_delivery
from app.jobs.connection import RedisLink
from app.jobs.deliveries import RESULTS, Delivery, DeliveryState, came_of, to_keep

# KEYS: webhook, due, those of the job; ARGV: id, record, due time or '', time of creation
ADD = """
if redis.call('exists', KEYS[1]) == 1 then return end
redis.call('hset', KEYS[1], 'record', ARGV[2])
redis.call('zadd', KEYS[3], ARGV[4], ARGV[1])
if ARGV[3] ~= '' then redis.call('zadd', KEYS[2], ARGV[3], ARGV[1]) end
"""

# KEYS: due; ARGV: now, when it is due again, prefix of webhooks
CLAIM = """
local id = redis.call('zrangebyscore', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
if not id then return end
redis.call('zadd', KEYS[1], ARGV[2], id)
redis.call('hset', ARGV[3] .. id, 'held', ARGV[2])
return redis.call('hmget', ARGV[3] .. id, 'record', 'again')
"""

# KEYS: webhook, due, attempts; ARGV: id, record, due time or '', time of the last attempt or '', what came of it
RECORD = """
if redis.call('exists', KEYS[1]) == 0 then return end
if ARGV[4] ~= '' and redis.call('hget', KEYS[1], 'last') ~= ARGV[4] then
  redis.call('hincrby', KEYS[3], ARGV[5], 1)
end
redis.call('hset', KEYS[1], 'record', ARGV[2], 'last', ARGV[4])
redis.call('hdel', KEYS[1], 'again', 'held')
redis.call('zrem', KEYS[2], ARGV[1])
if ARGV[3] ~= '' then redis.call('zadd', KEYS[2], ARGV[3], ARGV[1]) end
"""

# KEYS: webhook, due; ARGV: id, now as a score, now as text
AGAIN = """
if redis.call('exists', KEYS[1]) == 0 then return end
redis.call('hset', KEYS[1], 'again', ARGV[3])
local held = redis.call('hget', KEYS[1], 'held')
if not held or tonumber(held) <= tonumber(ARGV[2]) then redis.call('zadd', KEYS[2], ARGV[2], ARGV[1]) end
return redis.call('hmget', KEYS[1], 'record', 'again')
"""


class RedisDeliveries:
    """Keep webhooks on Redis, under the namespace of a cell."""

    def __init__(self, link: RedisLink, *, namespace: str) -> None:
        self._link = link
        self._prefix = f"{namespace}:webhook:"
        self._of_jobs = f"{namespace}:webhooks:of:"
        self._due = f"{namespace}:webhooks:due"
        self._attempts = f"{namespace}:webhooks:attempts"

    async def add(self, delivery: Delivery) -> None:
        """Keep a new one; one with that id that is there already stays as it is."""
        keys = [self._prefix + delivery.delivery_id, self._due, self._of_jobs + delivery.job_id]
        record = encode_delivery(to_keep(delivery))
        created = _score(delivery.created_at)
        await self._link.evaluate(ADD, keys, [delivery.delivery_id, record, _due(delivery), created])

    async def claim(self, now: datetime, *, seconds: float) -> Delivery | None:
        """Give the one that is due longest, and keep it from everyone else for that time."""
        again = now + timedelta(seconds=seconds)
        fields = await self._link.evaluate(CLAIM, [self._due], [_score(now), _score(again), self._prefix])
        return _delivery(fields)

    async def record(self, delivery: Delivery) -> None:
        """Replace it after an attempt and count that; one that is forgotten stays forgotten."""
        keys = [self._prefix + delivery.delivery_id, self._due, self._attempts]
        record = encode_delivery(to_keep(delivery))
        last = _score(delivery.attempts[-1].at) if delivery.attempts else ""
        await self._link.evaluate(RECORD, keys, [delivery.delivery_id, record, _due(delivery), last, came_of(delivery)])

    async def of_job(self, job_id: str) -> list[Delivery]:
        """Give the deliveries of a job, oldest first."""
        ids: list[bytes] = await self._link.run(lambda client: client.zrange(self._of_jobs + job_id, 0, -1))

        async def fetch(client: ArqRedis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                for delivery_id in ids:
                    pipe.hmget(self._prefix + delivery_id.decode(), ["record", "again"])
                return await pipe.execute()

        found = [_delivery(fields) for fields in await self._link.run(fetch)] if ids else []
        return [delivery for delivery in found if delivery is not None]

    async def send_again(self, delivery_id: str, now: datetime) -> Delivery | None:
        """Make it pending and due now; None where there is none with this id. One that is claimed is on its way."""
        keys = [self._prefix + delivery_id, self._due]
        text = now.astimezone(UTC).isoformat()
        return _delivery(await self._link.evaluate(AGAIN, keys, [delivery_id, _score(now), text]))

    async def attempts(self) -> Mapping[str, int]:
        """Give how many attempts were made in all, by what came of them."""

        async def fetch(client: ArqRedis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                pipe.hmget(self._attempts, list(RESULTS))
                return await pipe.execute()

        [counts] = await self._link.run(fetch)
        return {result: int(count or 0) for result, count in zip(RESULTS, counts, strict=True)}

    async def pending(self) -> int:
        """Give how many wait for an attempt."""
        return int(await self._link.run(lambda client: client.zcard(self._due)))


def _score(moment: datetime) -> str:
    return repr(moment.timestamp())


def _due(delivery: Delivery) -> str:
    """Give when it is due, as a score; nothing where it is not pending."""
    return _score(delivery.next_at or delivery.created_at) if delivery.state is DeliveryState.PENDING else ""


def _delivery(fields: list[bytes | None] | None) -> Delivery | None:
    record, again = fields or (None, None)
    if record is None:
        return None
    delivery = decode_delivery(record)
    if again is None:
        return delivery
    return replace(delivery, state=DeliveryState.PENDING, next_at=datetime.fromisoformat(again.decode()))
