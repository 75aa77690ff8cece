"""Retention over HTTP: the policy is set, tried, and applied as a job."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from app.api.resources import Resources
from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.errors import Code
from app.jobs.records import JobKind
from app.jobs.rooms import MemoryJobs
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import TOKEN, assert_nothing_queued, assert_problem, client_of

URL = "/api/retention"
NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)


@pytest.fixture
def nights(store: LocalStore) -> list[str]:
    """Give the ids of four backups, newest first."""
    ids = [f"night-{days}" for days in range(4)]
    for days, backup_id in enumerate(ids):
        created = NOW - timedelta(days=days)
        entry = Entry(backup_id, "", encrypted=False, size=0, created_at=created, outcome="succeeded")
        with store.create(backup_id, encrypted=False) as archive:
            archive.write(bytes(100))
            archive.publish(entry)
    return ids


async def test_nothing_is_set_at_first(client: httpx2.AsyncClient) -> None:
    answer = (await client.get(URL)).json()
    assert (answer["source"], answer["active"]) == ("settings", False)
    assert answer["policy"]["keep_last"] is None


async def test_a_policy_that_is_set_holds_until_it_is_forgotten(client: httpx2.AsyncClient, settings: Settings) -> None:
    policy = {"keep_daily": 7, "keep_weekly": 5, "timezone": "Europe/Berlin"}
    answer = await client.put(URL, json=policy)
    assert answer.status_code == 200, answer.text
    assert answer.json() == (await client.get(URL)).json()
    assert (answer.json()["source"], answer.json()["active"]) == ("request", True)
    assert answer.json()["policy"] | policy == answer.json()["policy"]
    path = settings.state_dir / "retention.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (await client.delete(URL)).json()["source"] == "settings"
    assert not path.exists()
    assert (await client.delete(URL)).status_code == 200


async def test_rules_that_are_forgotten_let_those_of_the_settings_hold(
    client: httpx2.AsyncClient, resources: Resources
) -> None:
    settings = resources.settings.model_copy(update={"keep_monthly": 12})
    app = create_app(settings, resources=replace(resources, settings=settings))
    async with client_of(app, Authorization=f"Bearer {TOKEN}") as other:
        await other.put(URL, json={"keep_last": 1})
        forgotten = (await other.delete(URL)).json()
        noted = (await other.get("/api/audit")).json()["entries"]
    assert (forgotten["source"], forgotten["active"]) == ("settings", True)
    assert (forgotten["policy"]["keep_last"], forgotten["policy"]["keep_monthly"]) == (None, 12)
    assert sorted(event["what"] for event in noted) == ["reset_retention", "set_retention"]
    reader = (await client.post("/api/tokens", json={"name": "reader", "scope": "read"})).json()["token"]
    refused = await client.delete(URL, headers={"Authorization": f"Bearer {reader}"})
    assert_problem(refused, 403, Code.FORBIDDEN)


async def test_a_policy_that_keeps_nothing_is_refused(client: httpx2.AsyncClient) -> None:
    for method, path in (("PUT", URL), ("POST", f"{URL}/preview")):
        response = await client.request(method, path, json={"keep_last": 0, "keep_daily": 0})
        assert_problem(response, 422, Code.RETENTION_KEEPS_NOTHING)
    assert (await client.get(URL)).json()["source"] == "settings"


@pytest.mark.parametrize(
    "body", [{"keep_last": -1}, {"keep_last": "many"}, {"keep": 1}, {"shrink_limit": 2}, [], {"timezone": "x" * 65}]
)
async def test_what_is_no_policy_is_refused(client: httpx2.AsyncClient, body: object) -> None:
    assert_problem(await client.put(URL, json=body), 422, Code.INVALID_REQUEST)


async def test_an_unknown_time_zone_is_refused(client: httpx2.AsyncClient) -> None:
    assert_problem(await client.put(URL, json={"timezone": "Europe/Nowhere"}), 422, Code.UNKNOWN_TIMEZONE)


async def test_a_preview_says_what_would_become_of_each_and_changes_nothing(
    client: httpx2.AsyncClient, store: LocalStore, nights: list[str], jobs: MemoryJobs
) -> None:
    response = await client.post(f"{URL}/preview", json={"keep_last": 1, "keep_daily": 2})
    assert response.status_code == 200, response.text
    preview = response.json()
    assert [(found["backup_id"], found["keep"], found["reasons"]) for found in preview["decisions"]] == [
        ("night-0", True, ["last", "daily"]),
        ("night-1", True, ["daily"]),
        ("night-2", False, ["no_rule_keeps_it"]),
        ("night-3", False, ["no_rule_keeps_it"]),
    ]
    assert (preview["removed"], preview["freed"], preview["held"]) == (2, 200, None)
    assert [entry.backup_id for entry in store.entries()] == nights
    await assert_nothing_queued(jobs)


async def test_a_preview_is_not_noted(client: httpx2.AsyncClient) -> None:
    await client.post(f"{URL}/preview", json={"keep_last": 1})
    assert (await client.put(URL, json={"keep_last": 1})).status_code == 200
    noted = (await client.get("/api/audit")).json()["entries"]
    assert [event["what"] for event in noted] == ["set_retention"]


async def test_a_preview_without_a_body_is_of_the_policy_that_holds(
    client: httpx2.AsyncClient, nights: list[str]
) -> None:
    assert (await client.post(f"{URL}/preview")).json()["removed"] == 0
    await client.put(URL, json={"keep_last": 1})
    assert (await client.post(f"{URL}/preview")).json()["removed"] == len(nights) - 1


@pytest.mark.usefixtures("nights")
async def test_a_preview_says_why_nothing_would_go(client: httpx2.AsyncClient, store: LocalStore) -> None:
    entry = Entry("odd", "", encrypted=False, size=0, created_at=NOW + timedelta(days=1), outcome="partial")
    with store.create("odd", encrypted=False) as archive:
        archive.publish(entry)
    held = (await client.post(f"{URL}/preview", json={"keep_last": 1})).json()["held"]
    assert held["code"] == Code.RETENTION_HELD
    assert "odd" in held["message"]
    assert held["hint"]


async def test_applying_queues_one_job_for_one_key(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await client.post(f"{URL}/apply", headers=headers, json={"despite_anomaly": True})
    again = await client.post(f"{URL}/apply", headers=headers, json={"despite_anomaly": True})
    assert first.status_code == again.status_code == 202, first.text
    assert first.json() == again.json()
    (job,) = jobs.queue.enqueued
    assert (job.kind, job.backup_id, job.request) == (JobKind.PRUNE, "", {"despite_anomaly": True})
    assert first.headers["location"] == f"/api/jobs/{job.job_id}"
    assert (await client.get(first.headers["location"])).json()["kind"] == "prune"


async def test_what_cannot_be_read_is_said_before_anything_is_queued(
    client: httpx2.AsyncClient, settings: Settings, jobs: MemoryJobs
) -> None:
    await client.put(URL, json={"keep_last": 1})
    (settings.state_dir / "retention.json").write_text("{")
    for method, path in (("GET", URL), ("POST", f"{URL}/preview"), ("POST", f"{URL}/apply")):
        assert_problem(await client.request(method, path), 422, Code.INVALID_SETTING)
    await assert_nothing_queued(jobs)
