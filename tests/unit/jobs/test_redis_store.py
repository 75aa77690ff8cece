import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from arq.connections import ArqRedis
from typing_extensions import override

from app.jobs.base import Totals
from app.jobs.codec import encode_job
from app.jobs.connection import RedisLink, open_link
from app.jobs.records import Idempotency, Job, JobKind, JobState, Progress
from app.jobs.redis_deliveries import RedisDeliveries
from app.jobs.redis_store import RedisJobStore
from tests.support.redis_server import RedisServer
from tests.unit.jobs.deliveries import a_delivery
from tests.unit.jobs.jobs import a_job

T = TypeVar("T")


async def test_two_cells_share_a_database_without_seeing_one_another(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        one, two = RedisJobStore(link, namespace="cell-backup:1"), RedisJobStore(link, namespace="cell-backup:2")
        await one.create(a_job(), max_queued=1)
        await two.create(a_job(stage="of two"), max_queued=1)
        assert await one.page(limit=9) == ([a_job()], 1)
        assert await two.active() == [a_job(stage="of two")]
        await one.update(a_job(state=JobState.FAILED))
        assert await two.untold() == []
        await one.mark_told("job-0001")
        await two.forget_old(0)
        assert await one.get("job-0001") == a_job(state=JobState.FAILED)
        await one.forget_old(0)
        assert await one.page(limit=9) == ([], 0)
        assert await two.get("job-0001") == a_job(stage="of two")


@pytest.mark.parametrize("sole", [False, True])
async def test_of_a_forgotten_job_its_count_and_its_key_stay_behind(redis_url: str, *, sole: bool) -> None:
    async with open_link(redis_url, patience=0) as link:
        store, deliveries = RedisJobStore(link, namespace="cell"), RedisDeliveries(link, namespace="cell")
        await store.create(a_job(1), max_queued=1, sole=sole, idempotency=Idempotency("key", "fingerprint"))
        await store.update(a_job(1, state=JobState.CANCELLED, cancel_requested=True))
        await deliveries.add(a_delivery(1))
        await deliveries.record(a_delivery(1, tried=1, delivered=True))
        await store.mark_told("job-0001")
        await store.forget_old(0)
        left = await link.run(lambda client: client.keys("*"))
        assert sorted(left) == [b"cell:idempotency:key", b"cell:totals:backup", b"cell:webhooks:attempts"]


async def test_a_key_is_remembered_for_a_day_and_no_longer_for_its_second_use(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        store = RedisJobStore(link, namespace="cell")
        await store.create(a_job(1), max_queued=1, idempotency=Idempotency("key", "fingerprint"))
        assert 0 < await link.run(lambda client: client.ttl("cell:idempotency:key")) <= 24 * 3600
        await link.run(lambda client: client.expire("cell:idempotency:key", 7))
        await store.create(a_job(2), max_queued=1, idempotency=Idempotency("key", "fingerprint"))
        assert 0 < await link.run(lambda client: client.ttl("cell:idempotency:key")) <= 7


async def test_events_stay_for_an_hour_after_the_end(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        store = RedisJobStore(link, namespace="cell")
        await store.create(a_job(), max_queued=1)
        await store.update(a_job(state=JobState.RUNNING))
        assert await link.run(lambda client: client.ttl("cell:events:job-0001")) == -1
        await store.update(a_job(state=JobState.FAILED))
        assert 3000 < await link.run(lambda client: client.ttl("cell:events:job-0001")) <= 3600
        await link.run(lambda client: client.delete("cell:events:job-0001"))
        assert await store.events("job-0001", after=None) == []


async def test_a_script_whose_reply_was_lost_comes_out_the_same(redis_url: str) -> None:
    """Every script is sent once more after its first run, as a client does whose connection broke."""
    async with open_link(redis_url, patience=0) as link:
        twice = Twice(link)
        store, deliveries = RedisJobStore(twice, namespace="cell"), RedisDeliveries(twice, namespace="cell")
        for kind, sole in ((JobKind.BACKUP, False), (JobKind.RESTORE, True)):
            job = a_job(1 + sole, kind=kind)
            asked = Idempotency(kind, "fingerprint")
            assert await store.create(job, max_queued=1, sole=sole, idempotency=asked) == job
            ended = replace(job, state=JobState.SUCCEEDED, progress=Progress(100, 7))
            await store.update(replace(job, state=JobState.RUNNING))
            await store.update(ended)
            assert [event.data["state"] for event in await store.events(job.job_id, after=None)] == [
                "running",
                "succeeded",
            ]
            assert (await store.totals())[kind] == Totals({JobState.SUCCEEDED: 1}, 0, 7, ended)
        assert len(await store.untold()) == 2
        await deliveries.add(a_delivery())
        await deliveries.record(a_delivery(tried=1))
        assert await deliveries.attempts() == {"delivered": 0, "failed": 1, "given_up": 0}
        assert await deliveries.of_job("job-0001") == [a_delivery(tried=1)]


class Twice(RedisLink):
    """Run every script twice and give the second answer."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    @override
    async def run(self, operation: Callable[[ArqRedis], Awaitable[T]], **more: Any) -> T:
        await self._link.run(operation, **more)
        return await self._link.run(operation, **more)


async def test_a_record_of_an_earlier_version_is_read_and_goes_on(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        store = RedisJobStore(link, namespace="cell")
        await store.create(a_job(1), max_queued=1)
        raw = json.loads(encode_job(a_job(1)))
        del raw["asked_by"]
        await link.run(lambda client: _hset(client, {"record": json.dumps(raw)}))
        await link.run(lambda client: _hdel(client, "made"))
        assert await store.active() == [a_job(1)]
        await store.update(a_job(1, state=JobState.SUCCEEDED))
        assert await store.untold() == [a_job(1, state=JobState.SUCCEEDED)]


async def _hset(client: ArqRedis, fields: dict[str, str]) -> None:
    async with client.pipeline() as pipe:
        pipe.hset("cell:job:job-0001", mapping=fields)
        await pipe.execute()


async def _hdel(client: ArqRedis, field: str) -> None:
    async with client.pipeline() as pipe:
        pipe.hdel("cell:job:job-0001", field)
        await pipe.execute()


async def test_what_is_untold_and_undelivered_survives_a_server_that_is_killed(own_redis: RedisServer) -> None:
    async with open_link(own_redis.url, patience=10) as link:
        store, deliveries = RedisJobStore(link, namespace="cell"), RedisDeliveries(link, namespace="cell")
        await store.create(a_job(), max_queued=1, idempotency=Idempotency("key", "fingerprint"))
        await store.update(a_job(state=JobState.SUCCEEDED))
        events = await store.events("job-0001", after=None)
        await deliveries.add(a_delivery())
        await deliveries.claim(a_delivery().created_at + timedelta(minutes=1), seconds=60)
        own_redis.kill()
        await asyncio.to_thread(own_redis.start)
        assert await store.untold() == [a_job(state=JobState.SUCCEEDED)]
        assert await store.made_before(Idempotency("key", "fingerprint")) == a_job(state=JobState.SUCCEEDED)
        assert await store.events("job-0001", after=None) == events
        assert (await store.totals())["backup"].ended == {JobState.SUCCEEDED: 1}
        assert await deliveries.claim(a_delivery().created_at + timedelta(minutes=2), seconds=60) == a_delivery()


async def test_each_of_two_cells_has_a_sole_job_of_its_own(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        stores = [RedisJobStore(link, namespace=namespace) for namespace in ("cell-backup:1", "cell-backup:2")]
        for store in stores:
            await store.create(a_job(), max_queued=1, sole=True)
        assert [await store.get(a_job().job_id) for store in stores] == [a_job(), a_job()]


async def test_a_cancel_request_between_any_two_updates_is_kept(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as writing, open_link(redis_url, patience=0) as asking:
        for number in range(20):
            await _race(writing, asking, a_job(number))


async def _race(writing: RedisLink, asking: RedisLink, job: Job) -> None:
    worker, api = (RedisJobStore(link, namespace="cell-backup:1") for link in (writing, asking))
    await worker.create(job, max_queued=99)

    async def work() -> None:
        for step in range(10):
            await worker.update(a_job(int(job.job_id[-4:]), state=JobState.RUNNING, stage=str(step)))

    await asyncio.gather(work(), api.request_cancel(job.job_id))
    after = await api.get(job.job_id)
    assert after is not None
    assert (after.cancel_requested, after.stage) == (True, "9")


async def test_a_record_survives_a_server_that_is_killed(own_redis: RedisServer) -> None:
    async with open_link(own_redis.url, patience=10) as link:
        store = RedisJobStore(link, namespace="cell-backup:1")
        await store.create(a_job(1), max_queued=2)
        await store.create(a_job(2), max_queued=2)
        await store.update(a_job(2, state=JobState.RUNNING))
        await store.request_cancel("job-0002")
        own_redis.kill()
        await asyncio.to_thread(own_redis.start)
        assert await store.active() == [a_job(1), a_job(2, state=JobState.RUNNING, cancel_requested=True)]
