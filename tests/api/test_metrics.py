"""What /metrics says, read by the parsers of Prometheus' own client."""

import asyncio
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from pydantic import SecretStr

from app import __version__
from app.api import metric_facts
from app.api.resources import Resources
from app.api.submission import new_job
from app.catalog.base import Entry, Verification
from app.catalog.local import LocalStore
from app.errors import Code, JobError, UnavailableError
from app.jobs.deliveries import Attempt, Delivery, DeliveryState
from app.jobs.records import Job, JobKind, JobState, Progress
from app.jobs.rooms import MemoryJobs, open_jobs
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import TOKEN, assert_problem, client_of
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
OPENMETRICS = "application/openmetrics-text"


def values_in(text: str, read: Callable[[str], Any] = read_text) -> Values:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in read(text)
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float | None:
    return values.get((f"cell_backup_{name}", frozenset(labels.items())))


async def scrape(client: httpx2.AsyncClient, **headers: str) -> Values:
    response = await client.get("/metrics", headers=headers)
    assert response.status_code == 200, response.text
    return values_in(response.text)


async def run_job(jobs: MemoryJobs, kind: JobKind, state: JobState, **facts: Any) -> Job:
    """Let a job be queued, run for ten seconds and end."""
    job = new_job(kind, "backup-20261123-020000-000001", {})
    await jobs.store.create(job, max_queued=100)
    now = datetime.now(UTC)
    ended = replace(job, state=state, started_at=now - timedelta(seconds=10), finished_at=now, **facts)
    await jobs.store.update(ended)
    return ended


async def test_both_formats_say_the_same_and_nothing_of_another_registry(client: httpx2.AsyncClient) -> None:
    plain = await client.get("/metrics")
    other = await client.get("/metrics", headers={"Accept": f"{OPENMETRICS};version=1.0.0;q=0.5,text/plain;q=0.3"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert other.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    names = {name for name, _ in values_in(plain.text)}
    assert names == {name for name, _ in values_in(other.text, read_openmetrics)}
    assert all(name.startswith("cell_backup_") for name in names)
    assert not any(family.name.startswith("cell_backup") for family in REGISTRY.collect())


@pytest.mark.parametrize("accept", [f"{OPENMETRICS};version=x", f"{OPENMETRICS};version=9.9", "*/*", ";;,=,", ""])
async def test_no_accept_header_confuses_it(client: httpx2.AsyncClient, accept: str) -> None:
    response = await client.get("/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    assert "9.9" not in response.headers["content-type"]


async def test_a_new_service_says_that_there_is_no_good_backup(client: httpx2.AsyncClient) -> None:
    found = await scrape(client)
    assert value(found, "build_info", version=__version__) == 1
    assert (value(found, "redis_up"), value(found, "worker_up"), value(found, "lease_held")) == (1, 1, 0)
    assert value(found, "last_good_backup_age_seconds") == math.inf
    assert (value(found, "archives"), value(found, "queue_oldest_age_seconds")) == (0, 0)
    assert value(found, "last_success_timestamp_seconds", kind="backup") is None
    # a counter is there before it counts, so that its first step is seen
    assert value(found, "jobs_ended_total", kind="restore", state="failed") == 0
    assert value(found, "webhook_attempts_total", result="failed") == 0


async def test_jobs_that_ended_are_counted_and_the_last_success_is_told(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    progress = Progress(bytes_done=5000)
    done = await run_job(jobs, JobKind.BACKUP, JobState.SUCCEEDED, progress=progress, result={"size": 700})
    await run_job(jobs, JobKind.BACKUP, JobState.FAILED)
    await run_job(jobs, JobKind.VERIFY, JobState.CANCELLED)
    found = await scrape(client)
    assert value(found, "jobs_ended_total", kind="backup", state="succeeded") == 1
    assert value(found, "jobs_ended_total", kind="backup", state="failed") == 1
    assert value(found, "jobs_ended_total", kind="verify", state="cancelled") == 1
    assert value(found, "job_duration_seconds_total", kind="backup") == 10
    assert value(found, "job_content_bytes_total", kind="backup") == 5000
    assert done.finished_at is not None
    assert value(found, "last_success_timestamp_seconds", kind="backup") == done.finished_at.timestamp()
    assert value(found, "last_success_duration_seconds", kind="backup") == 10
    assert value(found, "last_success_content_bytes", kind="backup") == 5000
    assert value(found, "last_success_size_bytes", kind="backup") == 700
    assert value(found, "last_success_bytes_per_second", kind="backup") == 500
    assert 0 <= (value(found, "last_success_age_seconds", kind="backup") or 0) < 3600


async def test_a_partial_backup_is_no_success(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    await run_job(jobs, JobKind.BACKUP, JobState.PARTIAL)
    found = await scrape(client)
    assert value(found, "jobs_ended_total", kind="backup", state="partial") == 1
    assert value(found, "last_success_timestamp_seconds", kind="backup") is None


async def test_a_dry_run_is_no_restore(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    restored = await run_job(jobs, JobKind.RESTORE, JobState.SUCCEEDED, progress=Progress(bytes_done=700))
    planned = await run_job(
        jobs, JobKind.RESTORE, JobState.SUCCEEDED, progress=Progress(bytes_done=40), request={"dry_run": True}
    )
    running = new_job(JobKind.RESTORE, "b", {"dry_run": True})
    await jobs.store.create(running, max_queued=100)
    await jobs.store.update(replace(running, state=JobState.RUNNING, fence=1))
    found = await scrape(client)
    assert restored.finished_at is not None
    assert planned.finished_at is not None
    assert value(found, "last_success_timestamp_seconds", kind="restore") == restored.finished_at.timestamp()
    assert value(found, "last_success_timestamp_seconds", kind="restore_dry_run") == planned.finished_at.timestamp()
    assert value(found, "last_success_content_bytes", kind="restore") == 700
    for kind, size in (("restore", 700), ("restore_dry_run", 40)):
        assert value(found, "jobs_ended_total", kind=kind, state="succeeded") == 1
        assert value(found, "job_duration_seconds_total", kind=kind) == 10
        assert value(found, "job_content_bytes_total", kind=kind) == size
    assert value(found, "jobs", kind="restore", state="running") == 0
    assert value(found, "jobs", kind="restore_dry_run", state="running") == 1
    assert value(found, "running_job_progress_ratio", kind="restore") is None
    assert value(found, "running_job_progress_ratio", kind="restore_dry_run") == 0


async def test_what_waits_and_what_runs_is_told(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    waiting = replace(new_job(JobKind.VERIFY, "a", {}), created_at=hour_ago)
    running = new_job(JobKind.BACKUP, "b", {})
    for job in (waiting, running):
        await jobs.store.create(job, max_queued=100)
    async with jobs.leases.hold(str(settings.cell_root), running.job_id, on_lost=lambda: None) as lease:
        at = Progress(percent=25.0)
        await jobs.store.update(
            replace(running, state=JobState.RUNNING, started_at=hour_ago, fence=lease.fence, progress=at)
        )
        found = await scrape(client)
    assert value(found, "jobs", kind="verify", state="queued") == 1
    assert value(found, "jobs", kind="backup", state="running") == 1
    assert value(found, "jobs", kind="restore", state="running") == 0
    assert (value(found, "queue_length"), value(found, "queue_limit")) == (1, settings.max_queued_jobs)
    assert (value(found, "queue_oldest_age_seconds") or 0) >= 3600
    assert (value(found, "running_job_age_seconds", kind="backup") or 0) >= 3600
    assert value(found, "running_job_progress_ratio", kind="backup") == 0.25
    assert (value(found, "lease_held"), value(found, "lease_fence")) == (1, lease.fence)


async def test_the_longest_wait_and_the_newest_worker_are_told(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    now = datetime.now(UTC)
    for hours in (3, 1, 2):
        queued = replace(new_job(JobKind.VERIFY, "a", {}), created_at=now - timedelta(hours=hours))
        await jobs.store.create(queued, max_queued=100)
    for fence, percent in ((8, 80.0), (9, 90.0), (7, 70.0)):  # two have lost their workers
        running = new_job(JobKind.BACKUP, "b", {})
        await jobs.store.create(running, max_queued=100)
        at = Progress(percent=percent)
        await jobs.store.update(replace(running, state=JobState.RUNNING, started_at=now, fence=fence, progress=at))
    found = await scrape(client)
    assert (value(found, "queue_oldest_age_seconds") or 0) >= 3 * 3600
    assert value(found, "running_job_progress_ratio", kind="backup") == 0.9


async def test_webhooks_are_counted_by_what_came_of_them(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    now = datetime.now(UTC)
    sent = Delivery("msg_1", "1" * 32, "default", "https://receiver.example", "{}", now, next_at=now)
    refused, given_up, answered = (Attempt(now + timedelta(seconds=n), 0.1, status=500 - n) for n in range(3))
    pending = replace(sent, delivery_id="msg_2", attempts=(refused,))
    for delivery in (sent, pending):
        await jobs.deliveries.add(replace(delivery, attempts=()))
    await jobs.deliveries.record(pending)
    await jobs.deliveries.record(replace(sent, attempts=(given_up,), state=DeliveryState.GIVEN_UP))
    await jobs.deliveries.record(replace(sent, attempts=(given_up, answered), state=DeliveryState.DELIVERED))
    found = await scrape(client)
    assert value(found, "webhook_attempts_total", result="delivered") == 1
    assert value(found, "webhook_attempts_total", result="failed") == 1
    assert value(found, "webhook_attempts_total", result="given_up") == 1
    assert value(found, "webhooks_pending") == 1


def archive(store: LocalStore, backup_id: str, **facts: Any) -> Entry:
    entry = Entry(backup_id, "", encrypted=False, size=0, created_at=datetime.now(UTC), outcome="succeeded")
    with store.create(backup_id, encrypted=False) as new:
        new.write(b"0123456789" * 10)
        return new.publish(replace(entry, **facts))


async def test_archives_are_summed_up(client: httpx2.AsyncClient, store: LocalStore) -> None:
    now = datetime.now(UTC)
    older = archive(store, "backup-1", created_at=now - timedelta(days=2))
    newest = archive(store, "backup-2", created_at=now - timedelta(days=1))
    checked = now - timedelta(hours=3)
    store.record_verification(older.backup_id, Verification(checked, ok=True))
    found = await scrape(client)
    assert (value(found, "archives"), value(found, "archives_bytes"), value(found, "archives_readable")) == (2, 200, 1)
    assert value(found, "archive_newest_timestamp_seconds") == newest.created_at.timestamp()
    assert value(found, "archive_newest_verified_timestamp_seconds") == checked.timestamp()
    assert value(found, "last_good_backup_size_bytes") == 100
    assert (value(found, "directory_free_bytes") or 0) > 0
    assert (value(found, "directory_size_bytes") or 0) >= (value(found, "directory_free_bytes") or 0)


@pytest.mark.parametrize(
    "facts",
    [
        {"outcome": "partial"},
        {"choice": ("component:web", "service:*")},
        {"expires_at": datetime(2100, 1, 1, tzinfo=UTC)},
        {"verified": Verification(datetime.now(UTC), ok=False, code="archive_damaged")},
    ],
    ids=["partial", "some parts only", "saved before a restore", "found broken"],
)
async def test_what_is_no_good_backup_does_not_hide_that_the_last_good_one_is_old(
    client: httpx2.AsyncClient, store: LocalStore, facts: Mapping[str, Any]
) -> None:
    day_ago = datetime.now(UTC) - timedelta(days=1)
    archive(store, "backup-1", created_at=day_ago)
    archive(store, "backup-2", **facts)
    found = await scrape(client)
    assert (value(found, "last_good_backup_age_seconds") or 0) >= 24 * 3600


async def test_without_redis_it_tells_the_rest(
    client: httpx2.AsyncClient, jobs: MemoryJobs, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> list[Job]:
        raise UnavailableError(Code.REDIS_UNAVAILABLE, "Redis cannot be reached.")

    archive(store, "backup-1")
    monkeypatch.setattr(jobs.store, "active", refuse)
    found = await scrape(client)
    assert (value(found, "redis_up"), value(found, "archives")) == (0, 1)
    assert value(found, "worker_up") is None
    assert value(found, "jobs_ended_total", kind="backup", state="failed") is None


async def test_a_redis_that_hangs_is_told_before_a_scraper_has_no_more_patience(
    client: httpx2.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> list[Job]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(jobs.store, "active", hang)
    monkeypatch.setattr(metric_facts, "_PATIENCE", 0.01)
    async with asyncio.timeout(20):
        found = await scrape(client)
    assert value(found, "redis_up") == 0


async def test_without_the_backup_directory_it_tells_the_rest(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> list[Entry]:
        raise JobError(Code.FILE_UNREADABLE, "It cannot be read.")

    monkeypatch.setattr(LocalStore, "entries", lambda _: refuse())
    found = await scrape(client)
    assert (value(found, "redis_up"), value(found, "archives_readable")) == (1, 0)
    assert value(found, "last_good_backup_age_seconds") is None


async def test_scrapes_at_the_same_time_look_one_after_the_other(
    client: httpx2.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, may_end = [], threading.Event()

    def look(_: LocalStore) -> list[Entry]:
        looks.append(1)
        may_end.wait(30)
        return []

    async def both_are_there() -> bool:
        return bool(looks) and bool(resources.scraping._waiters)

    monkeypatch.setattr(LocalStore, "entries", look)
    scrapes = asyncio.gather(client.get("/metrics"), client.get("/metrics"))
    try:
        await eventually_async(both_are_there, what="one looks and the other waits", limit=10)
        assert len(looks) == 1
    finally:
        may_end.set()
        answers = await scrapes
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(looks) == 2


def app_with(resources: Resources, metrics: str) -> FastAPI:
    settings = resources.settings.model_copy(update={"metrics": metrics})
    return create_app(settings, resources=replace(resources, settings=settings))


async def test_by_default_a_stranger_learns_nothing(stranger: httpx2.AsyncClient) -> None:
    assert_problem(await stranger.get("/metrics"), 401, Code.UNAUTHORIZED)


async def test_public_metrics_want_no_token(resources: Resources) -> None:
    async with client_of(app_with(resources, "public")) as stranger:
        assert value(await scrape(stranger), "redis_up") == 1


async def test_metrics_that_are_off_are_nowhere(resources: Resources) -> None:
    async with client_of(app_with(resources, "off"), **AUTHORIZED) as client:
        assert_problem(await client.get("/metrics"), 404, Code.NOT_FOUND)


async def test_a_token_that_may_only_read_is_enough(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    made = await client.post("/api/tokens", json={"name": "prometheus", "scope": "read"})
    found = await scrape(stranger, Authorization=f"Bearer {made.json()['token']}")
    assert value(found, "redis_up") == 1


async def test_a_redis_that_dies_is_told_and_the_same_numbers_are_there_when_it_is_back(
    settings: Settings, own_redis: RedisServer, store: LocalStore
) -> None:
    archive(store, "backup-1")
    settings = settings.model_copy(update={"redis_url": SecretStr(own_redis.url), "api_token": SecretStr(TOKEN)})
    job = new_job(JobKind.BACKUP, "backup-1", {})
    async with open_jobs(settings, own_redis.url) as jobs:
        await jobs.store.create(job, max_queued=100)
        await jobs.store.update(replace(job, state=JobState.FAILED, finished_at=datetime.now(UTC)))
    async with client_of(create_app(settings), **AUTHORIZED) as client:
        before = await scrape(client)
        own_redis.kill()
        away = await scrape(client)
        own_redis.start()
        back = await scrape(client)
    assert (value(away, "redis_up"), value(away, "archives"), value(away, "worker_up")) == (0, 1, None)
    for found in (before, back):
        assert (value(found, "redis_up"), value(found, "worker_up"), value(found, "lease_fence")) == (1, 0, 0)
        assert value(found, "jobs_ended_total", kind="backup", state="failed") == 1
