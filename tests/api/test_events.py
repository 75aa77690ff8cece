"""The stream of a job's events, over a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from app.api import following
from app.api.following import follow
from app.api.resources import Resources
from app.api.submission import new_job
from app.errors import Code
from app.jobs.base import JobStore
from app.jobs.records import Job, JobKind, JobState, Progress
from app.jobs.rooms import MemoryJobs, open_jobs
from app.main import create_app
from tests.api.conftest import TOKEN, assert_problem
from tests.api.serving import served
from tests.api.streams import Told, told
from tests.support.redis_server import RedisServer

RUNNING = {"state": JobState.RUNNING, "stage": "volumes", "fence": 1}


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_LOOK", 0.01)


@asynccontextmanager
async def client_at(resources: Resources, *, grace: int | None = 5) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(resources.settings, resources=resources)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        asyncio.timeout(60),
        served(app, resources, grace=grace) as url,
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
    ):
        yield client


@asynccontextmanager
async def stream(client: httpx2.AsyncClient, job: Job, last: str | None = None) -> AsyncIterator[AsyncIterator[Told]]:
    """Follow a job; the answer must be a stream."""
    headers = {} if last is None else {"Last-Event-ID": last}
    async with client.stream("GET", f"/api/jobs/{job.job_id}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        assert "no-store" in response.headers["cache-control"]
        yield told(response.aiter_lines())


async def everything(client: httpx2.AsyncClient, job: Job, last: str | None = None) -> list[Told]:
    async with stream(client, job, last) as events:
        return [event async for event in events]


async def queued(store: JobStore) -> Job:
    job = new_job(JobKind.BACKUP, "backup-1", {})
    await store.create(job, max_queued=100)
    return job


async def progressed(store: JobStore, job: Job, percent: float, **more: Any) -> Job:
    """Write the record as a worker does."""
    done = int(percent * 10)
    progress = Progress(percent, done, 1000, True, done // 100, "mail/mailboxes", 5.5, None)
    job = replace(job, **{**RUNNING, **more}, progress=progress)
    await store.update(job)
    return job


async def ended(store: JobStore, job: Job) -> Job:
    await progressed(store, job, 100, state=JobState.SUCCEEDED, result={"backup_id": "backup-1"}, warnings=("ü\n€",))
    found = await store.get(job.job_id)
    assert found is not None
    return found


async def test_a_job_is_told_from_the_queue_to_its_end(resources: Resources, jobs: MemoryJobs) -> None:
    job = await queued(jobs.store)
    async with client_at(resources) as client, stream(client, job) as events:
        first = await anext(events)
        assert (first.name, first.data["state"], first.data["progress"]["percent"]) == ("progress", "queued", 0)
        ids = []
        for percent in (10, 55.5):
            await progressed(jobs.store, job, percent)
            event = await anext(events)
            polled = (await client.get(f"/api/jobs/{job.job_id}")).json()
            assert event.name == "progress"
            assert event.data == {key: polled[key] for key in ("state", "stage", "progress")}
            ids.append(event.event_id)
        assert None not in ids
        await ended(jobs.store, job)
        end = await anext(events)
        polled = (await client.get(f"/api/jobs/{job.job_id}")).json()
        assert (end.name, end.event_id) == ("end", "end")
        assert end.data | {"webhooks": []} == polled
        assert [event async for event in events] == []


async def test_a_job_that_has_ended_gives_what_is_kept_and_its_end_at_once(
    resources: Resources, jobs: MemoryJobs
) -> None:
    job = await queued(jobs.store)
    for number in range(250):  # more than one read gives
        await progressed(jobs.store, job, number / 10)
    await ended(jobs.store, job)
    async with client_at(resources) as client:
        *before, end = await everything(client, job)
    assert [event.data["progress"]["percent"] for event in before] == [number / 10 for number in range(250)]
    assert all(event.data["state"] == "running" for event in before)  # 100 percent is said by the end alone
    assert (end.name, end.data["progress"]["percent"]) == ("end", 100)


async def test_where_the_events_are_no_longer_kept_the_end_is(resources: Resources, jobs: MemoryJobs) -> None:
    job = await queued(jobs.store)
    await ended(jobs.store, job)
    jobs.store._events.clear()
    async with client_at(resources) as client:
        assert [event.name for event in await everything(client, job, "7-0")] == ["end"]


async def test_who_comes_back_gets_what_was_missed(resources: Resources, jobs: MemoryJobs) -> None:
    job = await queued(jobs.store)
    for percent in range(10):
        await progressed(jobs.store, job, percent)
    async with client_at(resources) as client:
        async with stream(client, job) as events:
            seen = [await anext(events) for _ in range(4)]
        async with stream(client, job, seen[-1].event_id) as events:
            assert [(await anext(events)).data["progress"]["percent"] for _ in range(6)] == [4, 5, 6, 7, 8, 9]
            await ended(jobs.store, job)
            assert [event.name async for event in events] == ["end"]
        assert [event.name for event in await everything(client, job, seen[-1].event_id)] == ["progress"] * 6 + ["end"]


async def test_who_had_the_end_is_told_to_stay_away(resources: Resources, jobs: MemoryJobs) -> None:
    job = await queued(jobs.store)
    await progressed(jobs.store, job, 1)
    async with client_at(resources) as client:
        address, headers = f"/api/jobs/{job.job_id}/events", {"Last-Event-ID": "end"}
        async with stream(client, job, "end") as events:
            assert (await anext(events)).data["progress"]["percent"] == 1
        await ended(jobs.store, job)
        response = await client.get(address, headers=headers)
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("last", ["x", "1", "1-", "-1", "1-2-3", "99999999999999999999-0", "End", "1-1\u00e9"])
async def test_an_id_that_no_stream_gave_is_refused(client: httpx2.AsyncClient, jobs: MemoryJobs, last: str) -> None:
    job = await queued(jobs.store)
    response = await client.get(f"/api/jobs/{job.job_id}/events", headers={b"Last-Event-ID": last.encode()})
    assert_problem(response, 422, Code.INVALID_REQUEST)


async def test_an_empty_id_is_none(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    job = await queued(jobs.store)
    await ended(jobs.store, job)
    response = await client.get(f"/api/jobs/{job.job_id}/events", headers={"Last-Event-ID": ""})
    assert response.status_code == 200


async def test_an_unknown_job_has_no_stream(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    assert_problem(await client.get(f"/api/jobs/{'0' * 32}/events"), 404, Code.JOB_NOT_FOUND)
    assert_problem(await stranger.get(f"/api/jobs/{'0' * 32}/events"), 401, Code.UNAUTHORIZED)


async def test_a_job_whose_worker_died_ends_as_polling_shows_it(resources: Resources, jobs: MemoryJobs) -> None:
    cell = str(resources.settings.cell_root)
    job = await queued(jobs.store)
    async with client_at(resources) as client, stream(client, job) as events:
        await anext(events)
        async with jobs.leases.hold(cell, job.job_id, on_lost=lambda: None) as lease:
            await progressed(jobs.store, job, 42, fence=lease.fence)
            assert (await anext(events)).data["state"] == "running"
            await jobs.leases.lose(cell)
            assert await jobs.leases.condemn(cell, lease.fence)
            [end] = [event async for event in events]
        polled = (await client.get(f"/api/jobs/{job.job_id}")).json()
    assert (end.name, end.data["state"], end.data["error"]["code"]) == ("end", "failed", "worker_lost")
    assert end.data | {"webhooks": []} == polled


async def test_a_stream_goes_on_after_redis_was_away(resources: Resources, own_redis: RedisServer) -> None:
    settings = resources.settings.model_copy(update={"redis_url": SecretStr(own_redis.url)})
    async with open_jobs(settings, own_redis.url) as jobs:
        job = await queued(jobs.store)
        async with client_at(replace(resources, jobs=jobs)) as client:
            async with stream(client, job) as events:
                await anext(events)
                await progressed(jobs.store, job, 10)
                assert (await anext(events)).data["progress"]["percent"] == 10
                own_redis.kill()
                for _ in range(2):  # with the second answer a look of the stream has failed too
                    assert_problem(await client.get(f"/api/jobs/{job.job_id}"), 503, Code.REDIS_UNAVAILABLE)
                own_redis.start()
                await progressed(jobs.store, job, 20)
                assert (await anext(events)).data["progress"]["percent"] == 20
                await ended(jobs.store, job)
                assert [event.name async for event in events] == ["end"]
            *before, end = await everything(client, job)
    assert [event.data["progress"]["percent"] for event in before] == [10, 20]
    assert end.data["state"] == "succeeded"


async def test_a_server_that_shuts_down_ends_its_streams(resources: Resources, jobs: MemoryJobs) -> None:
    job = await queued(jobs.store)
    app = create_app(resources.settings, resources=resources)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with asyncio.timeout(60), httpx2.AsyncClient(headers=headers) as client:
        # with all the time they want, streams that did not end would keep the server for ever
        async with served(app, resources, grace=None) as url:
            request = client.build_request("GET", f"{url}/api/jobs/{job.job_id}/events")
            response = await client.send(request, stream=True)
            events = told(response.aiter_lines())
            assert (await anext(events)).name == "progress"
        assert [event async for event in events] == []  # cut off without an end: the client comes back
        await response.aclose()


async def test_fifty_readers_see_the_same(resources: Resources, jobs: MemoryJobs) -> None:
    job = await queued(jobs.store)
    async with client_at(resources) as client:
        client.timeout = httpx2.Timeout(30)
        readers = [asyncio.create_task(everything(client, job)) for _ in range(50)]
        for percent in range(20):
            await progressed(jobs.store, job, percent)
            await asyncio.sleep(0)
        await ended(jobs.store, job)
        streams = [[event for event in await reader if event.event_id] for reader in readers]
    assert [event.name for event in streams[0]] == ["progress"] * 20 + ["end"]
    assert all(events == streams[0] for events in streams)


async def test_nothing_is_read_for_who_does_not_read_and_what_is_kept_is_there_later(
    resources: Resources, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await progressed(jobs.store, await queued(jobs.store), 0)
    asked = 0
    events = jobs.store.events

    async def counted(*arguments: Any, **given: Any) -> Any:
        nonlocal asked
        asked += 1
        return await events(*arguments, **given)

    monkeypatch.setattr(jobs.store, "events", counted)
    async with aclosing(follow(resources, job, None)) as slow:
        assert b'"percent": 0' in await anext(slow)
        for number in range(3000):
            await progressed(jobs.store, job, number / 100)
        assert asked == 1
        assert b'"percent": 20.0' in await anext(slow)  # the last thousand are kept


async def test_a_job_that_is_forgotten_meanwhile_has_no_more_to_tell(resources: Resources, jobs: MemoryJobs) -> None:
    job = await progressed(jobs.store, await queued(jobs.store), 1)
    async with aclosing(follow(resources, job, None)) as events:
        await anext(events)
        del jobs.store._jobs[job.job_id]
        assert [event async for event in events] == []


async def test_a_silent_job_is_heard_of(
    resources: Resources, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_SILENCE", 0)
    job = await progressed(jobs.store, await queued(jobs.store), 1)
    async with aclosing(follow(resources, job, None)) as events:
        await anext(events)
        assert [await anext(events) for _ in range(2)] == [b": ping\n\n"] * 2


async def test_a_job_that_ends_between_two_looks_loses_nothing(resources: Resources, jobs: MemoryJobs) -> None:
    """The store tells of nothing new, and then of a job that has ended."""
    job = await progressed(jobs.store, await queued(jobs.store), 1)
    get = jobs.store.get

    class Late:
        """End the job after its events were read and before its record is."""

        async def get(self, job_id: str) -> Job | None:
            await progressed(jobs.store, job, 2)
            await ended(jobs.store, job)
            return await get(job_id)

        def __getattr__(self, name: str) -> Any:
            return getattr(jobs.store, name)

    late = replace(resources, jobs=replace(resources.jobs, store=Late()))
    found = [event async for event in follow(late, job, None)]
    assert [event.split(b"\n")[0] for event in found] == [b"event: progress"] * 2 + [b"event: end"]
