"""Schedules over HTTP: made, shown with their next times, changed, run by hand, removed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.archive.envelope import parse_envelope
from app.catalog.base import Entry
from app.errors import Code
from app.jobs.records import JobKind
from app.jobs.rooms import MemoryJobs
from app.scheduling.schedule_file import ScheduleFile
from app.scheduling.schedules import LastResult, Outcome
from app.settings import Settings
from tests.api.conftest import PASSPHRASE, assert_nothing_queued, assert_problem

URL = "/api/schedules"
NIGHTLY: dict[str, Any] = {"name": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture
async def nightly(client: httpx2.AsyncClient) -> dict[str, Any]:
    response = await client.post(URL, json=NIGHTLY)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def passphrase_in(directory: Path, passphrase: str = PASSPHRASE) -> str:
    path = directory / "passphrase"
    path.write_text(passphrase + "\n")
    path.chmod(0o600)
    return str(path)


async def test_there_are_none_at_first(client: httpx2.AsyncClient) -> None:
    assert (await client.get(URL)).json() == {"schedules": []}


async def test_a_schedule_is_made_and_shown_with_its_next_five_times(
    client: httpx2.AsyncClient, nightly: dict[str, Any]
) -> None:
    assert nightly == (await client.get(f"{URL}/nightly")).json()
    assert (await client.get(URL)).json() == {"schedules": [nightly]}
    assert nightly | NIGHTLY == nightly
    assert (nightly["kind"], nightly["overlap"], nightly["catch_up"], nightly["enabled"]) == (
        "backup",
        "skip",
        True,
        True,
    )
    assert (nightly["source"], nightly["last_result"], len(nightly["next_runs"])) == ("request", None, 5)
    assert all(run.endswith(":30:00Z") for run in nightly["next_runs"])


async def test_the_time_zone_of_the_settings_holds_where_none_is_named(client: httpx2.AsyncClient) -> None:
    assert (await client.post(URL, json={"name": "a", "cron": "0 2 * * *"})).json()["timezone"] == "UTC"


@pytest.mark.usefixtures("nightly")
async def test_a_name_is_taken_once(client: httpx2.AsyncClient) -> None:
    assert_problem(await client.post(URL, json=NIGHTLY), 409, Code.SCHEDULE_NAME_TAKEN)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"cron": "every night"}, Code.INVALID_CRON),
        ({"cron": "0 0 31 2 *"}, Code.INVALID_CRON),
        ({"timezone": "Europe/Nowhere"}, Code.UNKNOWN_TIMEZONE),
        ({"components": ["valut"]}, Code.UNKNOWN_COMPONENT),
        ({"services": ["male"]}, Code.UNKNOWN_SERVICE),
        ({"passphrase": "a secret"}, Code.INVALID_REQUEST),
        ({"passphrase_file": "relative"}, Code.INVALID_REQUEST),
        ({"jitter": -1}, Code.INVALID_REQUEST),
        ({"kind": "restore"}, Code.INVALID_REQUEST),
        ({"name": "Not A Name"}, Code.INVALID_REQUEST),
        ({"label": "two\nlines"}, Code.INVALID_REQUEST),
    ],
)
async def test_what_cannot_be_done_is_refused(client: httpx2.AsyncClient, fields: dict[str, Any], code: Code) -> None:
    assert_problem(await client.post(URL, json=NIGHTLY | fields), 422, code)
    assert (await client.get(URL)).json() == {"schedules": []}


@pytest.mark.usefixtures("nightly")
async def test_a_schedule_is_changed_as_a_whole(client: httpx2.AsyncClient) -> None:
    response = await client.put(f"{URL}/nightly", json={"cron": "0 4 * * *", "enabled": False, "jitter": 60})
    assert response.status_code == 200, response.text
    changed = response.json()
    assert changed == (await client.get(f"{URL}/nightly")).json()
    assert (changed["cron"], changed["timezone"], changed["jitter"]) == ("0 4 * * *", "UTC", 60)
    assert (changed["enabled"], changed["next_runs"]) == (False, [])


@pytest.mark.usefixtures("nightly")
async def test_a_schedule_is_removed(client: httpx2.AsyncClient) -> None:
    assert (await client.delete(f"{URL}/nightly")).status_code == 204
    assert (await client.get(URL)).json() == {"schedules": []}


async def test_what_is_not_there_is_not_found(client: httpx2.AsyncClient) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/run")):
        body = {"cron": "0 2 * * *"} if method == "PUT" else None
        response = await client.request(method, f"{URL}/nightly{path}", json=body)
        assert_problem(response, 404, Code.SCHEDULE_NOT_FOUND)


@pytest.mark.usefixtures("nightly")
async def test_what_came_of_the_last_time_is_shown(client: httpx2.AsyncClient, settings: Settings) -> None:
    now = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
    last = LastResult(now, Outcome.REFUSED, now, 3, None, Code.PASSPHRASE_REQUIRED, "It cannot be read.")
    ScheduleFile(settings).note("nightly", last=last)
    assert (await client.get(f"{URL}/nightly")).json()["last_result"] == {
        "at": "2026-11-23T02:30:00Z",
        "outcome": "refused",
        "fire_time": "2026-11-23T02:30:00Z",
        "missed": 3,
        "job_id": None,
        "code": "passphrase_required",
        "message": "It cannot be read.",
    }


@pytest.mark.usefixtures("nightly")
async def test_running_one_by_hand_queues_its_job_and_leaves_its_times_alone(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    since = ScheduleFile(settings).get("nightly").since
    headers = {"Idempotency-Key": "once"}
    first = await client.post(f"{URL}/nightly/run", headers=headers)
    assert first.status_code == 202, first.text
    assert (await client.post(f"{URL}/nightly/run", headers=headers)).json() == first.json()
    (job,) = jobs.queue.enqueued
    assert (job.kind, job.request["schedule"], job.asked_by) == (JobKind.BACKUP, "nightly", "bootstrap")
    assert first.headers["location"] == f"/api/jobs/{job.job_id}"
    kept = ScheduleFile(settings).get("nightly")
    assert kept.since == since
    assert kept.last is not None
    assert (kept.last.outcome, kept.last.fire_time, kept.last.job_id) == (Outcome.STARTED, None, job.job_id)


async def test_one_that_encrypts_does_so_by_hand_too(
    client: httpx2.AsyncClient, jobs: MemoryJobs, tmp_path: Path
) -> None:
    await client.post(URL, json=NIGHTLY | {"passphrase_file": passphrase_in(tmp_path)})
    assert (await client.post(f"{URL}/nightly/run")).status_code == 202
    (job,) = jobs.queue.enqueued
    assert parse_envelope(job.request["envelope"]).open(PASSPHRASE) == await jobs.secrets.open(job.job_id)
    shown = await client.get(f"{URL}/nightly")
    assert PASSPHRASE not in shown.text


async def test_the_newest_backup_is_verified_by_hand(
    client: httpx2.AsyncClient, jobs: MemoryJobs, encrypted: Entry, tmp_path: Path
) -> None:
    file = passphrase_in(tmp_path)
    await client.post(URL, json=NIGHTLY | {"kind": "verify", "passphrase_file": file})
    assert (await client.post(f"{URL}/nightly/run")).status_code == 202
    (job,) = jobs.queue.enqueued
    assert (job.kind, job.backup_id) == (JobKind.VERIFY, encrypted.backup_id)
    passphrase_in(tmp_path, "another one")
    assert_problem(await client.post(f"{URL}/nightly/run"), 422, Code.PASSPHRASE_WRONG)


async def test_what_cannot_be_run_is_refused(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "missing"
    await client.post(URL, json=NIGHTLY | {"passphrase_file": str(file)})
    assert_problem(await client.post(f"{URL}/nightly/run"), 422, Code.PASSPHRASE_REQUIRED)
    await client.post(URL, json=NIGHTLY | {"name": "check", "kind": "verify"})
    assert_problem(await client.post(f"{URL}/check/run"), 404, Code.BACKUP_NOT_FOUND)
    await assert_nothing_queued(jobs)
    (settings.state_dir / "schedules.json").write_text("{")
    assert_problem(await client.get(URL), 422, Code.INVALID_SETTING)
