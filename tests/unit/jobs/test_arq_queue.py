import asyncio
import json
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from arq.worker import Worker, func
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError, WatchError

from app.errors import Code, UnavailableError
from app.jobs.address import parse_redis_url
from app.jobs.arq_queue import ArqQueue, queue_name
from app.jobs.arq_worker import SteadyWorker, close_worker, worker_settings
from app.jobs.connection import RedisLink, open_link
from app.settings import Settings
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async
from tests.unit.jobs.jobs import a_job

NAMESPACE = "cell-backup:1"

# arq closes its client by a name that redis-py 5 calls deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


class Work:
    """What arq runs: says that it began, then waits to be let go."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.go_on = asyncio.Event()

    async def __call__(self, _ctx: dict[Any, Any], job_id: str) -> None:
        await self.begun.put(job_id)
        await self.go_on.wait()


@asynccontextmanager
async def _worker(url: str, work: Work, *, namespace: str = NAMESPACE) -> AsyncIterator[Worker]:
    async def backup(ctx: dict[Any, Any], job_id: str) -> None:
        await work(ctx, job_id)

    settings = worker_settings(parse_redis_url(url), namespace=namespace, handle_signals=False)
    worker = SteadyWorker(functions=[func(backup, name="backup")], **settings)
    running = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.wait([running])
        await close_worker(worker)


async def _idle(link: RedisLink) -> bool:
    return not await link.run(lambda client: client.zcard(queue_name(NAMESPACE)))


async def _alive(queue: ArqQueue) -> bool:
    return await queue.workers_alive()


async def test_a_queued_job_reaches_the_worker_of_its_cell_once(redis_url: str) -> None:
    work, other = Work(), Work()
    work.go_on.set()
    async with open_link(redis_url, patience=0) as link:
        queue = ArqQueue(link, namespace=NAMESPACE)
        async with _worker(redis_url, other, namespace="cell-backup:2"), _worker(redis_url, work) as worker:
            for _ in range(3):
                await queue.enqueue(a_job(1))
            await queue.enqueue(a_job(2))
            assert [await work.begun.get() for _ in range(2)] == ["job-0001", "job-0002"]
            await eventually_async(lambda: _idle(link), what="both jobs are done")
            assert (worker.jobs_complete, worker.jobs_failed) == (2, 0)
        assert other.begun.empty()
        assert await link.run(lambda client: client.keys("arq:*")) == []


async def test_one_job_runs_at_a_time(redis_url: str) -> None:
    work = Work()
    async with open_link(redis_url, patience=0) as link, _worker(redis_url, work) as worker:
        queue = ArqQueue(link, namespace=NAMESPACE)
        await queue.enqueue(a_job(1))
        await queue.enqueue(a_job(2))
        assert await work.begun.get() == "job-0001"
        await worker._poll_iteration()
        assert list(worker.tasks) == ["job-0001"]
        work.go_on.set()
        assert await work.begun.get() == "job-0002"


async def test_only_ids_are_stored_as_json_for_seven_days(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        await ArqQueue(link, namespace=NAMESPACE).enqueue(a_job(request={"label": "mine"}))
        key = f"arq:job:{a_job().job_id}"
        stored = json.loads(await link.run(lambda client: client.get(key)))
        assert (stored["f"], stored["a"], stored["k"]) == ("backup", [], {"job_id": "job-0001"})
        days = await link.run(lambda client: client.ttl(key)) / 86400
        assert 6.9 < days <= 7


async def test_a_worker_is_alive_from_its_start_to_its_end(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        queue = ArqQueue(link, namespace=NAMESPACE)
        assert not await queue.workers_alive()
        async with _worker(redis_url, Work()):
            await eventually_async(lambda: _alive(queue), what="the worker reports itself")
            assert not await ArqQueue(link, namespace="cell-backup:2").workers_alive()
            ttl = await link.run(lambda client: client.ttl(queue_name(NAMESPACE) + ":health-check"))
            assert 0 < ttl <= 60
        assert not await queue.workers_alive()


async def test_a_job_that_is_cut_off_is_not_run_again(redis_url: str) -> None:
    work = Work()
    async with open_link(redis_url, patience=0) as link:
        async with _worker(redis_url, work):
            await ArqQueue(link, namespace=NAMESPACE).enqueue(a_job())
            await work.begun.get()
        assert await _idle(link)


async def test_a_job_that_a_dead_worker_took_can_be_taken_again(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        queue = ArqQueue(link, namespace=NAMESPACE)
        await queue.enqueue(a_job(1))
        await queue.enqueue(a_job(2))
        # what arq leaves behind when its process is killed in mid-job
        await link.run(lambda client: client.psetex("arq:in-progress:job-0001", 3_600_000, b"1"))
        await link.run(lambda client: client.incr("arq:retry:job-0001"))
        await link.run(lambda client: client.set("arq:in-progress:of-another-cell", b"1"))
        assert await queue.forget_orphans() == ["job-0001"]
        assert await queue.forget_orphans() == []
        assert await queue.known() == {"job-0001", "job-0002"}
        work = Work()
        work.go_on.set()
        async with _worker(redis_url, work):
            assert [await work.begun.get() for _ in range(2)] == ["job-0001", "job-0002"]
            await eventually_async(lambda: _idle(link), what="the queue is empty")
        assert await queue.known() == set()
        assert await link.run(lambda client: client.keys("arq:*")) == [b"arq:in-progress:of-another-cell"]


async def test_a_job_that_a_worker_took_is_left_to_it_for_a_minute(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _worker(redis_url, work := Work()):
        await ArqQueue(link, namespace=NAMESPACE).enqueue(a_job())
        await work.begun.get()
        assert 0 < await link.run(lambda client: client.ttl(f"arq:in-progress:{a_job().job_id}")) <= 60


class BreakingPipelines:
    """A client of which the next transactions break where arq expects no error."""

    def __init__(self, client: Any, errors: list[Exception]) -> None:
        self._client = client
        self.errors = errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pipeline(self, **options: Any) -> Any:
        pipe = self._client.pipeline(**options)
        if self.errors:
            error = self.errors.pop()

            async def broken(*_: Any) -> Any:
                raise error

            pipe.watch = pipe.execute = broken
        return pipe


@pytest.mark.parametrize(
    "error", [WatchError("gone"), RedisConnectionError("gone"), ResponseError("MISCONF"), OSError(5)]
)
async def test_no_error_of_redis_ends_the_worker_or_keeps_it_from_taking_jobs(
    redis_url: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.arq_worker.AWAY_PAUSE", 0.01)
    work = Work()
    async with open_link(redis_url, patience=0) as link, _worker(redis_url, work) as worker:
        broken: Any = BreakingPipelines(worker.pool, [error, error])
        worker._pool = broken
        await ArqQueue(link, namespace=NAMESPACE).enqueue(a_job(1))
        assert await work.begun.get() == "job-0001"
        assert broken.errors == []
        work.go_on.set()
        await eventually_async(lambda: _idle(link), what="the job is done")


async def test_a_worker_that_cannot_reach_redis_ends_at_once(own_redis: RedisServer) -> None:
    work = Work()
    async with open_link(own_redis.url, patience=0) as link, asyncio.timeout(30), _worker(own_redis.url, work):
        await ArqQueue(link, namespace=NAMESPACE).enqueue(a_job(1))
        await work.begun.get()
        own_redis.kill()


async def test_the_worker_outlives_a_server_that_stands_still(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.connection.COMMAND_TIMEOUT", 0.3)
    assert own_redis.process is not None
    async with open_link(own_redis.url, patience=30) as link, _worker(own_redis.url, work := Work()):
        own_redis.process.send_signal(signal.SIGSTOP)
        queued = asyncio.create_task(ArqQueue(link, namespace=NAMESPACE).enqueue(a_job(1)))
        await asyncio.wait({queued}, timeout=1)
        assert not queued.done()
        own_redis.process.send_signal(signal.SIGCONT)
        assert await work.begun.get() == "job-0001"
        await queued


async def test_the_worker_survives_a_server_that_is_killed_and_started_again(own_redis: RedisServer) -> None:
    work = Work()
    async with open_link(own_redis.url, patience=30) as link, _worker(own_redis.url, work):
        queue = ArqQueue(link, namespace=NAMESPACE)
        await queue.enqueue(a_job(1))
        assert await work.begun.get() == "job-0001"
        own_redis.kill()
        work.go_on.set()  # the job ends while the server is away
        await asyncio.wait([asyncio.create_task(work.begun.get())], timeout=1)
        await asyncio.to_thread(own_redis.start)
        # where arq gave up before the server was back, the job is in its hands for a minute
        await eventually_async(lambda: _idle(link), what="the first job is taken off the queue", limit=90)
        await queue.enqueue(a_job(2))
        await eventually_async(lambda: _idle(link), what="the second job is done")


async def test_queueing_is_refused_while_redis_is_away(own_redis: RedisServer) -> None:
    async with open_link(own_redis.url, patience=0) as link:
        own_redis.kill()
        with pytest.raises(UnavailableError) as caught:
            await ArqQueue(link, namespace=NAMESPACE).enqueue(a_job())
        assert caught.value.code is Code.REDIS_UNAVAILABLE


class DroppedTransaction:
    """A client whose connection breaks in arq's transaction: arq then answers None, as for a known job."""

    def __init__(self, client: Any, times: int) -> None:
        self._client = client
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def enqueue_job(self, *args: Any, **options: Any) -> Any:
        if self._times:
            self._times -= 1
            return None
        return await self._client.enqueue_job(*args, **options)


async def test_a_connection_that_breaks_while_a_job_is_queued_loses_no_job(redis_url: str) -> None:
    async with open_link(redis_url, patience=30) as link:
        broken: Any = DroppedTransaction(link._client, times=2)
        await ArqQueue(RedisLink(broken, patience=30), namespace=NAMESPACE).enqueue(a_job())
        assert not await _idle(link)
        broken = DroppedTransaction(link._client, times=99)
        with pytest.raises(UnavailableError):
            await ArqQueue(RedisLink(broken, patience=0), namespace=NAMESPACE).enqueue(a_job(2))


async def test_the_log_holds_ids_and_no_password(own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    work = Work()
    work.go_on.set()
    url = f"unix://:hunter2@{own_redis.socket_path}"
    admin = own_redis.client()
    admin.config_set("requirepass", "hunter2")
    admin.close()
    async with open_link(url, patience=0) as link, _worker(url, work):
        await ArqQueue(link, namespace=NAMESPACE).enqueue(a_job(request={"label": "private words"}))
        await work.begun.get()
        await eventually_async(lambda: _idle(link), what="the job is done")
    assert "job-0001" in caplog.text
    assert "hunter2" not in caplog.text
    assert "private words" not in caplog.text


async def test_a_worker_that_is_told_to_end_while_it_asks_redis_ends(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As redis-py does before Python 3.12: what it waits for ends in the moment of the cancellation, which is lost."""
    asking, answered = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def swallow(_: Worker) -> None:
        asking.set()
        await asyncio.wait_for(asyncio.shield(answered), 60)

    async def wait(ctx: dict[Any, Any], job_id: str) -> None:
        raise AssertionError(ctx, job_id)

    monkeypatch.setattr(Worker, "_poll_iteration", swallow)
    settings = worker_settings(parse_redis_url(redis_url), namespace=NAMESPACE, handle_signals=False)
    worker = SteadyWorker(functions=[func(wait, name="backup")], **settings)
    running = asyncio.create_task(worker.main())
    await asking.wait()
    answered.set_result(None)
    await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=5)
    assert done
    await close_worker(worker)


async def test_a_job_that_was_queued_before_the_clock_was_set_back_is_queued_anew(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        queue = ArqQueue(link, namespace=NAMESPACE)
        await queue.enqueue(a_job(1))
        await queue.enqueue(a_job(2))
        hour_later = {"job-0001": (time.time() + 3600) * 1000}
        await link.run(lambda client: client.zadd(queue_name(NAMESPACE), hour_later))
        assert await queue.known() == {"job-0002"}
        await queue.enqueue(a_job(1))
        assert await queue.known() == {"job-0001", "job-0002"}
        work = Work()
        work.go_on.set()
        async with _worker(redis_url, work):
            assert {await work.begun.get() for _ in range(2)} == {"job-0001", "job-0002"}
            await eventually_async(lambda: _idle(link), what="both jobs are done")


async def test_a_worker_reports_itself_after_the_clock_was_set_back(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _worker(redis_url, Work()) as worker:
        queue = ArqQueue(link, namespace=NAMESPACE)
        await eventually_async(lambda: _alive(queue), what="the worker reports itself")
        worker._last_health_check += 3600
        await link.run(lambda client: client.delete(worker.health_check_key))
        await eventually_async(lambda: _alive(queue), what="the worker reports itself again")


def test_a_job_that_waits_for_its_turn_is_not_cut_off() -> None:
    """arq counts from when it took the job, which may wait for days behind jobs of another worker."""
    address = parse_redis_url("redis://localhost")
    settings = worker_settings(address, namespace=NAMESPACE, handle_signals=False)
    assert settings["job_timeout"] > Settings().queue_timeout * Settings().max_queued_jobs
