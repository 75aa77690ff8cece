import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.api.resources import Resources
from app.api.submission import new_job
from app.archive.envelope import new_envelope, parse_envelope
from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.errors import Code, UnavailableError
from app.jobs.keys import unpack_keys
from app.jobs.records import Job, JobKind, JobState
from app.jobs.rooms import MemoryJobs
from app.jobs.webhook_keys import webhook_id
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import (
    ENCRYPTED,
    PASSPHRASE,
    PLAIN,
    TOKEN,
    assert_nothing_queued,
    assert_problem,
    client_of,
    publish,
    tarball,
)
from tests.api.test_backups import BROKEN, closed
from tests.api.test_catalog import BAD_IDS

RESTORE = "/api/config/restore"
BACKUPS = "/api/config/backups"
SECRET = "hunter2-hunter2"
DEFAULTS = {
    "components": None,
    "services": None,
    "dry_run": False,
    "safety": "full",
    "mode": "equal",
    "damaged": "refuse",
    "regenerate": None,
    "safety_envelope": None,
}


async def only_job(jobs: MemoryJobs) -> Job:
    [job], total = await jobs.store.page(limit=10)
    assert total == 1
    assert jobs.queue.enqueued == [job]
    return job


# --- what is queued


@pytest.mark.usefixtures("plain")
async def test_an_empty_body_queues_a_restore_of_everything(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    response = await client.post(f"{RESTORE}/{PLAIN}")
    assert response.status_code == 202, response.text
    job = await only_job(jobs)
    url = f"/api/jobs/{job.job_id}"
    assert response.headers["location"] == url
    assert response.json() == {"job_id": job.job_id, "backup_id": PLAIN, "status_url": url}
    assert (job.kind, job.state, job.backup_id) == (JobKind.RESTORE, JobState.QUEUED, PLAIN)
    assert job.request == DEFAULTS
    assert jobs.secrets._secrets == {}
    assert (await client.get(url)).json()["kind"] == "restore"


@pytest.mark.usefixtures("plain")
async def test_every_choice_reaches_the_job(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    body = {
        "components": ["vault", "rest"],
        "services": [],
        "dry_run": True,
        "safety": "files",
        "mode": "overlay",
        "damaged": "accept",
        "regenerate": "hook",
    }
    assert (await client.post(f"{RESTORE}/{PLAIN}", json=body)).status_code == 202
    assert (await only_job(jobs)).request == body | {"safety_envelope": None}


def key_of(store: LocalStore) -> bytes:
    return parse_envelope(store.path(ENCRYPTED).read_bytes().split(b"\n")[0]).open(PASSPHRASE)


@pytest.mark.usefixtures("encrypted")
@pytest.mark.parametrize("safety", ["full", "files"])
async def test_what_is_saved_first_from_an_encrypted_backup_opens_with_the_same_passphrase(
    client: httpx2.AsyncClient, jobs: MemoryJobs, store: LocalStore, safety: str
) -> None:
    response = await client.post(f"{RESTORE}/{ENCRYPTED}", json={"passphrase": PASSPHRASE, "safety": safety})
    assert response.status_code == 202, response.text
    job = await only_job(jobs)
    archive_key, safety_key = unpack_keys(await jobs.secrets.open(job.job_id))
    assert archive_key == key_of(store) != safety_key
    assert parse_envelope(job.request["safety_envelope"]).open(PASSPHRASE) == safety_key
    assert PASSPHRASE not in repr(job)
    assert str(archive_key) not in repr(job)
    assert str(safety_key) not in repr(job)


@pytest.mark.usefixtures("encrypted")
@pytest.mark.parametrize("choice", [{"dry_run": True}, {"safety": "none"}], ids=str)
async def test_where_nothing_is_saved_first_there_is_one_key(
    client: httpx2.AsyncClient, jobs: MemoryJobs, store: LocalStore, choice: dict[str, Any]
) -> None:
    response = await client.post(f"{RESTORE}/{ENCRYPTED}", json={"passphrase": PASSPHRASE} | choice)
    assert response.status_code == 202, response.text
    job = await only_job(jobs)
    assert unpack_keys(await jobs.secrets.open(job.job_id)) == (key_of(store), None)
    assert job.request == DEFAULTS | choice


async def test_an_archive_that_was_copied_in_can_be_restored(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    settings.archives_dir.mkdir()
    (settings.archives_dir / "cell-backup-20260101-000000.tar.gz").write_bytes(tarball([b"config/a"]))
    # what services it has, only the job can find out
    response = await client.post(f"{RESTORE}/cell-backup-20260101-000000", json={"services": ["anything"]})
    assert response.status_code == 202, response.text
    assert (await only_job(jobs)).request["services"] == ["anything"]


# --- passphrases and what an archive begins with


LOCKS: dict[str, tuple[str, Any, Code]] = {
    "encrypted, no passphrase": (ENCRYPTED, None, Code.PASSPHRASE_REQUIRED),
    "encrypted, dry run": (ENCRYPTED, {"dry_run": True}, Code.PASSPHRASE_REQUIRED),
    "encrypted, wrong passphrase": (ENCRYPTED, {"passphrase": SECRET}, Code.PASSPHRASE_WRONG),
    "encrypted, wrong, dry run": (ENCRYPTED, {"passphrase": SECRET, "dry_run": True}, Code.PASSPHRASE_WRONG),
    "plain, passphrase": (PLAIN, {"passphrase": SECRET}, Code.PASSPHRASE_UNEXPECTED),
}


@pytest.mark.usefixtures("plain", "encrypted")
@pytest.mark.parametrize(("backup_id", "body", "code"), LOCKS.values(), ids=LOCKS)
async def test_a_passphrase_that_does_not_fit_is_refused_at_once(
    client: httpx2.AsyncClient, jobs: MemoryJobs, backup_id: str, body: Any, code: Code
) -> None:
    response = await client.post(f"{RESTORE}/{backup_id}", **({} if body is None else {"json": body}))
    assert_problem(response, 422, code)
    assert SECRET not in response.text
    await assert_nothing_queued(jobs)


def first_line(**changes: Any) -> bytes:
    line = json.loads(new_envelope(PASSPHRASE, scrypt_n=2)[0].to_line())
    slot = line["slots"][0] | changes.pop("slot", {})
    return json.dumps(line | {"slots": [slot]} | changes).encode() + b"\n"


BEGINNINGS = {
    "foreign": (b"no envelope at all\n", Code.ARCHIVE_FOREIGN),
    "empty": (b"", Code.ARCHIVE_FOREIGN),
    "of another program": (first_line(format="other"), Code.ARCHIVE_FOREIGN),
    "newer": (first_line(version=2), Code.ARCHIVE_TOO_NEW),
    "costs 8 GiB": (first_line(slot={"n": 2**20, "r": 64}), Code.ARCHIVE_HOSTILE),
    "damaged": (first_line(slot={"key": "?"}), Code.ARCHIVE_DAMAGED),
}


@pytest.mark.parametrize(("content", "code"), BEGINNINGS.values(), ids=BEGINNINGS)
async def test_an_archive_whose_first_line_is_wrong_is_refused_at_once(
    client: httpx2.AsyncClient, jobs: MemoryJobs, store: LocalStore, content: bytes, code: Code
) -> None:
    publish(store, "wrong", content, encrypted=True)
    response = await client.post(f"{RESTORE}/wrong", json={"passphrase": SECRET})
    assert_problem(response, 422, code)
    assert SECRET not in response.text
    await assert_nothing_queued(jobs)


# --- requests that are refused


BAD_BODIES = {
    "nothing chosen": ({"components": [], "services": []}, Code.INVALID_REQUEST),
    "unknown component": ({"components": ["vaults"]}, Code.UNKNOWN_COMPONENT),
    "components no list": ({"components": "vault"}, Code.INVALID_REQUEST),
    "service half a letter": ({"services": ["\ud800"]}, Code.INVALID_REQUEST),
    "service without a name": ({"services": [""]}, Code.INVALID_REQUEST),
    "too many services": ({"services": ["x"] * 101}, Code.INVALID_REQUEST),
    "passphrase null": ({"passphrase": None}, Code.INVALID_REQUEST),
    "passphrase good, rest bad": ({"passphrase": SECRET, "mode": SECRET}, Code.INVALID_REQUEST),
    "dry run a text": ({"dry_run": "false"}, Code.INVALID_REQUEST),
    "dry run a number": ({"dry_run": 0}, Code.INVALID_REQUEST),
    "dry run null": ({"dry_run": None}, Code.INVALID_REQUEST),
    "safety unknown": ({"safety": "half"}, Code.INVALID_REQUEST),
    "safety null": ({"safety": None}, Code.INVALID_REQUEST),
    "mode unknown": ({"mode": "Equal"}, Code.INVALID_REQUEST),
    "damaged unknown": ({"damaged": True}, Code.INVALID_REQUEST),
    "regenerate unknown": ({"regenerate": "on"}, Code.INVALID_REQUEST),
    "misspelt field": ({"dryrun": True}, Code.INVALID_REQUEST),
    "webhook": ({"webhook": {"url": "http://example.invalid"}}, Code.INVALID_WEBHOOK),
    "a list": ([SECRET], Code.INVALID_REQUEST),
    "null": (None, Code.INVALID_REQUEST),
}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(("body", "code"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_bad_body_is_refused_and_nothing_is_queued(
    client: httpx2.AsyncClient, jobs: MemoryJobs, caplog: pytest.LogCaptureFixture, body: Any, code: Code
) -> None:
    caplog.set_level("DEBUG")
    headers = {"Content-Type": "application/json"}
    response = await client.post(f"{RESTORE}/{PLAIN}", content=json.dumps(body).encode(), headers=headers)
    assert_problem(response, 422, code)
    assert SECRET not in response.text
    assert SECRET not in caplog.text
    await assert_nothing_queued(jobs)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_a_body_that_is_not_json_is_refused(client: httpx2.AsyncClient, jobs: MemoryJobs, body: bytes) -> None:
    response = await client.post(f"{RESTORE}/{PLAIN}", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 400, Code.INVALID_JSON)
    await assert_nothing_queued(jobs)


async def test_an_unknown_backup_is_not_found(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    for body in ({}, {"passphrase": PASSPHRASE}, {"components": ["vaults"]}):
        assert_problem(await client.post(f"{RESTORE}/{PLAIN}", json=body), 404, Code.BACKUP_NOT_FOUND)
    await assert_nothing_queued(jobs)


@pytest.mark.parametrize("backup_id", BAD_IDS.values(), ids=BAD_IDS)
async def test_what_cannot_be_a_backup_id_is_refused(
    client: httpx2.AsyncClient, jobs: MemoryJobs, backup_id: str
) -> None:
    assert_problem(await client.post(f"{RESTORE}/{backup_id}"), 422, Code.INVALID_BACKUP_ID)
    await assert_nothing_queued(jobs)


def describe(store: LocalStore, entry: Entry, *services: str) -> None:
    """Give the archive a sidecar that names its parts."""
    parts = [Part(PartKind.COMPONENT, "vault")]
    parts += [Part(PartKind.VOLUME, "files", name, f"cell-{name}", "/data") for name in services]
    results = tuple(PartResult(part, PartOutcome.SUCCEEDED) for part in parts)
    path = store.path(entry.backup_id)
    content = path.read_bytes()
    store.remove(entry.backup_id)
    with store.create(entry.backup_id, encrypted=entry.encrypted) as archive:
        archive.write(content)
        archive.publish(replace(entry, parts=results))


async def test_services_are_those_of_the_archive_not_those_of_the_cell(
    client: httpx2.AsyncClient, jobs: MemoryJobs, store: LocalStore, plain: Entry
) -> None:
    describe(store, plain, "radicale", "files")
    response = await client.post(f"{RESTORE}/{PLAIN}", json={"services": ["mail", "files"]})
    detail = assert_problem(response, 422, Code.UNKNOWN_SERVICE)["detail"]
    assert "'mail'" in detail
    assert "files, radicale" in detail
    await assert_nothing_queued(jobs)
    response = await client.post(f"{RESTORE}/{PLAIN}", json={"services": ["radicale"], "components": []})
    assert response.status_code == 202, response.text
    assert (await only_job(jobs)).request["services"] == ["radicale"]


async def test_an_archive_that_is_known_to_hold_no_service_has_none_to_restore(
    client: httpx2.AsyncClient, jobs: MemoryJobs, store: LocalStore, plain: Entry
) -> None:
    describe(store, plain)
    response = await client.post(f"{RESTORE}/{PLAIN}", json={"services": ["\x1bmail"]})
    assert "\x1b" not in assert_problem(response, 422, Code.UNKNOWN_SERVICE)["detail"]
    await assert_nothing_queued(jobs)


# --- where it is restored to


@pytest.fixture
def elsewhere(tmp_path: Path, settings: Settings) -> Settings:
    """Keep the archives beside the cell, so that the cell may be anything."""
    return settings.model_copy(update={"cell_root": tmp_path / "machine", "backup_dir": tmp_path / "archives"})


@pytest.fixture
def moved(elsewhere: Settings, resources: Resources) -> Resources:
    store = LocalStore(elsewhere.archives_dir)
    publish(store, PLAIN, tarball([b"config/a"]))
    return replace(resources, settings=elsewhere, store=store)


async def post_to(resources: Resources, backup_id: str = PLAIN) -> httpx2.Response:
    app = create_app(resources.settings, resources=resources)
    async with client_of(app, Authorization=f"Bearer {TOKEN}") as client:
        return await client.post(f"{RESTORE}/{backup_id}")


async def test_an_empty_folder_is_enough(moved: Resources, jobs: MemoryJobs) -> None:
    moved.settings.cell_root.mkdir()
    response = await post_to(moved)
    assert response.status_code == 202, response.text
    assert (await only_job(jobs)).backup_id == PLAIN


async def test_a_folder_that_is_not_there_is_not_made(moved: Resources, jobs: MemoryJobs) -> None:
    assert_problem(await post_to(moved), 422, Code.CELL_ROOT_MISSING)
    await assert_nothing_queued(jobs)
    assert not moved.settings.cell_root.exists()


async def test_a_file_in_its_place_is_refused(moved: Resources, jobs: MemoryJobs) -> None:
    moved.settings.cell_root.touch()
    assert_problem(await post_to(moved), 422, Code.CELL_ROOT_NOT_A_CELL)
    await assert_nothing_queued(jobs)


@pytest.mark.usefixtures("plain")
async def test_a_folder_that_cannot_be_read_is_named(client: httpx2.AsyncClient, jobs: MemoryJobs, cell: Path) -> None:
    with closed(cell):
        response = await client.post(f"{RESTORE}/{PLAIN}")
    assert_problem(response, 422, Code.CELL_ROOT_UNREADABLE)
    await assert_nothing_queued(jobs)


@pytest.mark.usefixtures("plain")
async def test_a_folder_that_is_away_with_its_archives_is_named(
    client: httpx2.AsyncClient, jobs: MemoryJobs, cell: Path
) -> None:
    await asyncio.to_thread(cell.rename, cell.with_name("gone"))
    assert_problem(await client.post(f"{RESTORE}/{PLAIN}"), 422, Code.CELL_ROOT_MISSING)
    await assert_nothing_queued(jobs)


# --- one at a time


@pytest.mark.usefixtures("plain", "encrypted")
@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
async def test_a_second_restore_is_refused_with_the_id_of_the_first(
    client: httpx2.AsyncClient, jobs: MemoryJobs, state: JobState
) -> None:
    first = (await client.post(f"{RESTORE}/{PLAIN}")).json()["job_id"]
    await jobs.store.update(replace(await only_job(jobs), state=state))
    response = await client.post(f"{RESTORE}/{ENCRYPTED}", json={"passphrase": PASSPHRASE})
    document = assert_problem(response, 409, Code.RESTORE_RUNNING)
    assert document["job_id"] == first
    assert first in document["detail"]
    assert len(jobs.queue.enqueued) == 1
    assert jobs.secrets._secrets == {}


@pytest.mark.usefixtures("plain")
async def test_of_two_restores_at_once_one_passes(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    answers = await asyncio.gather(*(client.post(f"{RESTORE}/{PLAIN}") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    job = await only_job(jobs)
    assert {answer.json()["job_id"] for answer in answers} == {job.job_id}


@pytest.mark.usefixtures("plain")
async def test_a_dry_run_is_queued_at_any_time_and_is_in_nobodys_way(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    for dry_run in (True, False, True):
        response = await client.post(f"{RESTORE}/{PLAIN}", json={"dry_run": dry_run})
        assert response.status_code == 202, response.text
    assert [job.request["dry_run"] for job in jobs.queue.enqueued] == [True, False, True]


@pytest.mark.usefixtures("plain")
async def test_after_a_restore_that_was_cancelled_another_one_is_queued(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    first = (await client.post(f"{RESTORE}/{PLAIN}")).json()["job_id"]
    assert (await client.post(f"/api/jobs/{first}/cancel")).json()["state"] == "cancelled"
    second = await client.post(f"{RESTORE}/{PLAIN}")
    assert second.status_code == 202, second.text
    assert len(jobs.queue.enqueued) == 2


@pytest.mark.usefixtures("encrypted")
async def test_a_queue_that_fails_leaves_a_restore_that_waits_for_it(
    client: httpx2.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Job) -> None:
        raise UnavailableError(Code.REDIS_UNAVAILABLE, "Redis went away.")

    body = {"passphrase": PASSPHRASE}
    with monkeypatch.context() as patch:
        patch.setattr(jobs.queue, "enqueue", refuse)
        job_id = (await client.post(f"{RESTORE}/{ENCRYPTED}", json=body)).json()["job_id"]
    assert list(jobs.secrets._secrets) == [job_id]
    document = assert_problem(await client.post(f"{RESTORE}/{ENCRYPTED}", json=body), 409, Code.RESTORE_RUNNING)
    assert document["job_id"] == job_id


@pytest.mark.usefixtures("encrypted")
async def test_a_webhook_is_sealed_beside_the_keys(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    webhook = {"url": "https://hooks.example/secret-path", "secret": "a secret of more than 24 bytes"}
    body = {"passphrase": PASSPHRASE, "webhook": webhook}
    for address in (f"{RESTORE}/{ENCRYPTED}", f"/api/config/backups/{ENCRYPTED}/verify"):
        job_id = (await client.post(address, json=body)).json()["job_id"]
        job = await jobs.store.get(job_id)
        assert job is not None
        assert job.request["webhook"] == "https://hooks.example"
        assert "secret-path" not in repr(job)
        assert {job_id, webhook_id(job_id)} <= set(jobs.secrets._secrets)


@pytest.mark.usefixtures("plain")
async def test_a_full_queue_refuses(client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings) -> None:
    for _ in range(settings.max_queued_jobs):
        assert (await client.post(f"{RESTORE}/{PLAIN}", json={"dry_run": True})).status_code == 202
    document = assert_problem(await client.post(f"{RESTORE}/{PLAIN}"), 429, Code.QUEUE_FULL)
    assert "job_id" not in document
    assert len(jobs.queue.enqueued) == settings.max_queued_jobs


# --- archives in use


@pytest.mark.usefixtures("plain")
async def test_a_backup_that_is_being_restored_is_not_deleted(client: httpx2.AsyncClient, store: LocalStore) -> None:
    job_id = (await client.post(f"{RESTORE}/{PLAIN}")).json()["job_id"]
    document = assert_problem(await client.delete(f"{BACKUPS}/{PLAIN}"), 409, Code.BACKUP_IN_USE)
    assert document["job_id"] == job_id
    assert store.path(PLAIN).exists()


@pytest.mark.usefixtures("plain")
async def test_what_a_restore_saved_first_is_not_deleted_until_it_has_ended(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    job = new_job(JobKind.RESTORE, "another", {})
    await jobs.store.create(job, max_queued=1)
    running = replace(job, state=JobState.RUNNING, result={"steps": [], "safety_backup_id": PLAIN})
    await jobs.store.update(running)
    document = assert_problem(await client.delete(f"{BACKUPS}/{PLAIN}"), 409, Code.BACKUP_IN_USE)
    assert document["job_id"] == job.job_id
    await jobs.store.update(replace(running, state=JobState.SUCCEEDED))
    assert (await client.delete(f"{BACKUPS}/{PLAIN}")).status_code == 204


@pytest.mark.usefixtures("plain", "encrypted")
async def test_no_secret_gets_into_the_log(client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    accepted = await client.post(f"{RESTORE}/{ENCRYPTED}", json={"passphrase": PASSPHRASE})
    assert PASSPHRASE not in (await client.get(accepted.headers["location"])).text
    await client.post(f"{RESTORE}/{PLAIN}", json={"passphrase": PASSPHRASE})
    assert caplog.records
    assert PASSPHRASE not in caplog.text
