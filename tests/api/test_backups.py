import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.archive.envelope import parse_envelope
from app.errors import Code, UnavailableError
from app.jobs.records import Job, JobKind, JobState
from app.jobs.rooms import MemoryJobs
from app.jobs.webhook_keys import unpack_webhook, webhook_id
from app.settings import Settings
from tests.api.conftest import PASSPHRASE, FewWordsEngine, assert_nothing_queued, assert_problem

BACKUP = "/api/config/backup"


async def only_job(jobs: MemoryJobs) -> Job:
    [job], total = await jobs.store.page(limit=10)
    assert total == 1
    assert jobs.queue.enqueued == [job]
    return job


async def test_an_empty_body_queues_a_plain_backup_of_everything(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    response = await client.post(BACKUP)
    assert response.status_code == 202, response.text
    job = await only_job(jobs)
    url = f"/api/jobs/{job.job_id}"
    assert response.headers["location"] == url
    assert response.json() == {"job_id": job.job_id, "backup_id": job.backup_id, "status_url": url}
    assert re.fullmatch(r"backup-\d{8}-\d{6}-[0-9a-f]{6}", job.backup_id)
    assert (job.kind, job.state) == (JobKind.BACKUP, JobState.QUEUED)
    assert job.request == {"components": None, "services": None, "label": None}
    assert jobs.secrets._secrets == {}
    status = await client.get(url)
    assert status.status_code == 200
    assert status.json()["state"] == "queued"


async def test_a_passphrase_leaves_only_a_sealed_data_key_and_its_envelope(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    response = await client.post(BACKUP, json={"passphrase": PASSPHRASE, "label": "Grüße"})
    assert response.status_code == 202, response.text
    job = await only_job(jobs)
    assert PASSPHRASE not in repr(job)
    assert set(job.request) == {"components", "services", "label", "envelope"}
    data_key = await jobs.secrets.open(job.job_id)
    assert PASSPHRASE.encode() not in data_key
    assert parse_envelope(job.request["envelope"]).open(PASSPHRASE) == data_key


async def test_parts_can_be_chosen(client: httpx2.AsyncClient, jobs: MemoryJobs, engine: FewWordsEngine) -> None:
    body = {"components": ["vault", "rest"], "services": ["mail"], "label": "\u00a0👩\u200d💻" + "x" * 196}
    assert (await client.post(BACKUP, json=body)).status_code == 202
    assert (await only_job(jobs)).request == body
    assert engine.asked == 0


async def test_a_service_that_only_labels_describe_is_known(
    client: httpx2.AsyncClient, jobs: MemoryJobs, engine: FewWordsEngine
) -> None:
    engine.labels = {"cell-files": {"cell-backup.volumes": "/data"}}
    assert (await client.post(BACKUP, json={"services": ["files", "mail"]})).status_code == 202
    assert (await only_job(jobs)).request["services"] == ["files", "mail"]


async def test_where_the_engine_is_away_such_a_service_is_unknown(
    client: httpx2.AsyncClient, jobs: MemoryJobs, engine: FewWordsEngine
) -> None:
    engine.away = True
    response = await client.post(BACKUP, json={"services": ["files"]})
    assert "mail" in assert_problem(response, 422, Code.UNKNOWN_SERVICE)["detail"]
    await assert_nothing_queued(jobs)


SECRET = "hunter2-hunter2"
BAD_BODIES = {
    "unknown component": ({"components": ["vaults"]}, Code.UNKNOWN_COMPONENT),
    "unknown service": ({"services": ["mai"]}, Code.UNKNOWN_SERVICE),
    "component half a letter": ({"components": ["\ud800"]}, Code.INVALID_REQUEST),
    "service with a NUL": ({"services": ["a\0b"]}, Code.UNKNOWN_SERVICE),
    "nothing chosen": ({"components": [], "services": []}, Code.INVALID_REQUEST),
    "components no list": ({"components": "vault"}, Code.INVALID_REQUEST),
    "component no text": ({"components": [1, 2, 3, 4, 5]}, Code.INVALID_REQUEST),
    "empty passphrase": ({"passphrase": ""}, Code.INVALID_REQUEST),
    "passphrase a number": ({"passphrase": 5}, Code.INVALID_REQUEST),
    "passphrase null": ({"passphrase": None}, Code.INVALID_REQUEST),
    "passphrase a list": ({"passphrase": [SECRET]}, Code.INVALID_REQUEST),
    "passphrase too long": ({"passphrase": SECRET + "x" * 1024}, Code.INVALID_REQUEST),
    "passphrase half a letter": ({"passphrase": SECRET + "\ud800"}, Code.INVALID_REQUEST),
    "passphrase good, rest bad": ({"passphrase": SECRET, "components": [SECRET, 1]}, Code.INVALID_REQUEST),
    "label too long": ({"label": "x" * 201}, Code.INVALID_REQUEST),
    "label with a line break": ({"label": "a\nb"}, Code.INVALID_REQUEST),
    "label with a NUL": ({"label": "a\0b"}, Code.INVALID_REQUEST),
    "label half a letter": ({"label": "\ud800"}, Code.INVALID_REQUEST),
    "misspelt field": ({"passphrse": SECRET}, Code.INVALID_REQUEST),
    "secret as a field": ({SECRET: ""}, Code.INVALID_REQUEST),
    "a list": ([SECRET], Code.INVALID_REQUEST),
    "a text": (SECRET, Code.INVALID_REQUEST),
    "a number": (5, Code.INVALID_REQUEST),
    "null": (None, Code.INVALID_REQUEST),
}


@pytest.mark.parametrize(("body", "code"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_bad_body_is_refused_and_nothing_is_queued(
    client: httpx2.AsyncClient, jobs: MemoryJobs, caplog: pytest.LogCaptureFixture, body: Any, code: Code
) -> None:
    caplog.set_level("DEBUG")
    headers = {"Content-Type": "application/json"}
    response = await client.post(BACKUP, content=json.dumps(body).encode(), headers=headers)
    assert_problem(response, 422, code)
    assert SECRET not in response.text
    assert SECRET not in caplog.text
    await assert_nothing_queued(jobs)


BROKEN = {
    "text": b"not json " + SECRET.encode(),
    "cut off": b'{"passphrase": "' + SECRET.encode(),
    "not UTF-8": b"\xff\xfe" + SECRET.encode(),
    "too deep": b"[" * 60_000,
    "a number of 5000 digits": b"9" * 5000,
    "blanks": b"  ",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_a_body_that_is_not_json_is_refused(client: httpx2.AsyncClient, jobs: MemoryJobs, body: bytes) -> None:
    response = await client.post(BACKUP, content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 400, Code.INVALID_JSON)
    assert SECRET not in response.text
    await assert_nothing_queued(jobs)


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_a_passphrase_sent_as_something_else_never_gives_a_plain_backup(
    client: httpx2.AsyncClient, jobs: MemoryJobs, media_type: str | None
) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    response = await client.post(BACKUP, content=b'{"passphrase": "hunter2-hunter2"}', headers=headers)
    assert "application/json" in assert_problem(response, 400, Code.INVALID_JSON)["detail"]
    assert SECRET not in response.text
    await assert_nothing_queued(jobs)


async def test_a_body_of_10_megabytes_is_refused(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    for body in (b" " * (10 << 20), unannounced()):
        assert_problem(await client.post(BACKUP, content=body, headers=headers), 413, Code.BODY_TOO_LARGE)
    await assert_nothing_queued(jobs)


async def test_a_body_just_below_the_limit_is_read(client: httpx2.AsyncClient) -> None:
    body = b"{}" + b" " * (64 * 1024 - 2)
    assert (await client.post(BACKUP, content=body, headers={"Content-Type": "application/json"})).status_code == 202


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda cell: cell.rename(cell.with_name("gone")), Code.CELL_ROOT_MISSING),
        (lambda cell: (cell / "config").rename(cell / "conf"), Code.CELL_ROOT_NOT_A_CELL),
        (lambda cell: (cell.rename(cell.with_name("gone")), cell.write_text("")), Code.CELL_ROOT_NOT_A_CELL),
    ],
    ids=["does not exist", "has no config", "is a file"],
)
async def test_without_a_cell_nothing_is_queued(
    client: httpx2.AsyncClient, jobs: MemoryJobs, cell: Path, spoil: Any, code: Code
) -> None:
    spoil(cell)
    assert_problem(await client.post(BACKUP, json={"passphrase": PASSPHRASE}), 422, code)
    await assert_nothing_queued(jobs)


@contextmanager
def closed(directory: Path) -> Iterator[None]:
    """Take away the right to read a directory, and root's right to read everything."""
    before = os.geteuid()
    directory.chmod(0)
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
        directory.chmod(0o700)


async def test_a_cell_root_that_cannot_be_read_is_named(
    client: httpx2.AsyncClient, jobs: MemoryJobs, cell: Path
) -> None:
    with closed(cell):
        response = await client.post(BACKUP)
    assert_problem(response, 422, Code.CELL_ROOT_UNREADABLE)
    await assert_nothing_queued(jobs)


async def test_a_full_queue_refuses_and_forgets_the_secret(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    for _ in range(settings.max_queued_jobs):
        assert (await client.post(BACKUP, json={"passphrase": PASSPHRASE})).status_code == 202
    kept = dict(jobs.secrets._secrets)
    assert_problem(await client.post(BACKUP, json={"passphrase": PASSPHRASE}), 429, Code.QUEUE_FULL)
    assert jobs.secrets._secrets == kept
    assert len(jobs.queue.enqueued) == settings.max_queued_jobs


async def test_a_queue_that_fails_leaves_a_job_that_waits_for_it(
    client: httpx2.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Job) -> None:
        raise UnavailableError(Code.REDIS_UNAVAILABLE, "Redis went away.")

    monkeypatch.setattr(jobs.queue, "enqueue", refuse)
    response = await client.post(BACKUP, json={"passphrase": PASSPHRASE})
    assert response.status_code == 202, response.text
    [job], _ = await jobs.store.page(limit=10)
    assert (job.job_id, job.state) == (response.json()["job_id"], JobState.QUEUED)
    assert list(jobs.secrets._secrets) == [job.job_id]


WEBHOOK = {"url": "https://hooks.example/secret-path", "secret": "a secret of more than 24 bytes"}


async def test_a_webhook_is_sealed_and_only_its_origin_is_in_the_record(
    client: httpx2.AsyncClient, jobs: MemoryJobs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    response = await client.post(BACKUP, json={"webhook": WEBHOOK})
    assert response.status_code == 202, response.text
    job = await only_job(jobs)
    assert job.request["webhook"] == "https://hooks.example"
    sealed = await jobs.secrets.open(webhook_id(job.job_id))
    assert unpack_webhook(sealed) == (WEBHOOK["url"], WEBHOOK["secret"])
    shown = (await client.get(response.headers["location"])).text
    for text in (repr(job), shown, caplog.text):
        assert "secret-path" not in text
        assert WEBHOOK["secret"] not in text


BAD_WEBHOOKS = {
    "not https": ({**WEBHOOK, "url": "http://hooks.example/"}, Code.INVALID_WEBHOOK),
    "a private address": ({**WEBHOOK, "url": "http://127.0.0.1/"}, Code.INVALID_WEBHOOK),
    "no secret": ({"url": WEBHOOK["url"]}, Code.INVALID_WEBHOOK),
    "a short secret": ({**WEBHOOK, "secret": "short"}, Code.INVALID_WEBHOOK),
    "no url": ({"secret": WEBHOOK["secret"]}, Code.INVALID_REQUEST),
    "more than that": ({**WEBHOOK, "headers": {}}, Code.INVALID_REQUEST),
    "a text": (WEBHOOK["url"], Code.INVALID_REQUEST),
}


@pytest.mark.parametrize(("webhook", "code"), BAD_WEBHOOKS.values(), ids=BAD_WEBHOOKS)
async def test_a_bad_webhook_is_refused_and_nothing_is_queued(
    client: httpx2.AsyncClient, jobs: MemoryJobs, webhook: Any, code: Code
) -> None:
    response = await client.post(BACKUP, json={"passphrase": PASSPHRASE, "webhook": webhook})
    assert_problem(response, 422, code)
    assert WEBHOOK["secret"] not in response.text
    await assert_nothing_queued(jobs)


async def test_what_is_refused_leaves_no_webhook(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    for _ in range(settings.max_queued_jobs):
        await client.post(BACKUP)
    body = {"passphrase": PASSPHRASE, "webhook": WEBHOOK}
    assert_problem(await client.post(BACKUP, json=body), 429, Code.QUEUE_FULL)
    assert jobs.secrets._secrets == {}
