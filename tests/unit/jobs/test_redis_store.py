import asyncio

import pytest

from app.jobs.connection import RedisLink, open_link
from app.jobs.records import Job, JobState
from app.jobs.redis_store import RedisJobStore
from tests.support.redis_server import RedisServer
from tests.unit.jobs.jobs import a_job


async def test_two_cells_share_a_database_without_seeing_one_another(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        one, two = RedisJobStore(link, namespace="cell-backup:1"), RedisJobStore(link, namespace="cell-backup:2")
        await one.create(a_job(), max_queued=1)
        await two.create(a_job(stage="of two"), max_queued=1)
        assert await one.page(limit=9) == ([a_job()], 1)
        assert await two.active() == [a_job(stage="of two")]
        await one.update(a_job(state=JobState.FAILED))
        await two.forget_old(0)
        assert await one.get("job-0001") == a_job(state=JobState.FAILED)
        await one.forget_old(0)
        assert await one.page(limit=9) == ([], 0)
        assert await two.get("job-0001") == a_job(stage="of two")


@pytest.mark.parametrize("sole", [False, True])
async def test_nothing_stays_behind_of_a_forgotten_record(redis_url: str, *, sole: bool) -> None:
    async with open_link(redis_url, patience=0) as link:
        store = RedisJobStore(link, namespace="cell-backup:1")
        await store.create(a_job(1), max_queued=1, sole=sole)
        await store.update(a_job(1, state=JobState.CANCELLED, cancel_requested=True))
        await store.forget_old(0)
        assert await link.run(lambda client: client.keys("*")) == []


async def test_each_of_two_cells_has_a_sole_job_of_its_own(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        for namespace in ("cell-backup:1", "cell-backup:2"):
            await RedisJobStore(link, namespace=namespace).create(a_job(), max_queued=1, sole=True)


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
