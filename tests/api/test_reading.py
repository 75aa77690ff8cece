from typing import Any

import httpx2
import pytest

from app.archive.envelope import parse_envelope
from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.errors import Code
from app.jobs.records import JobKind
from app.jobs.rooms import MemoryJobs
from tests.api.conftest import ENCRYPTED, PASSPHRASE, PLAIN, assert_nothing_queued, assert_problem, publish

BACKUPS = "/api/config/backups"


@pytest.mark.usefixtures("plain")
async def test_a_plain_archive_is_verified_by_a_job(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    response = await client.post(f"{BACKUPS}/{PLAIN}/verify")
    assert response.status_code == 202, response.text
    [job] = jobs.queue.enqueued
    assert (job.kind, job.backup_id, job.request) == (JobKind.VERIFY, PLAIN, {})
    assert response.headers["location"] == response.json()["status_url"] == f"/api/jobs/{job.job_id}"
    assert jobs.secrets._secrets == {}


@pytest.mark.usefixtures("encrypted")
async def test_an_encrypted_archive_is_verified_with_its_data_key_sealed(
    client: httpx2.AsyncClient, jobs: MemoryJobs, store: LocalStore
) -> None:
    response = await client.post(f"{BACKUPS}/{ENCRYPTED}/verify", json={"passphrase": PASSPHRASE})
    assert response.status_code == 202, response.text
    [job] = jobs.queue.enqueued
    assert PASSPHRASE not in repr(job)
    line = store.path(ENCRYPTED).read_bytes().split(b"\n")[0]
    assert await jobs.secrets.open(job.job_id) == parse_envelope(line).open(PASSPHRASE)


LOCKS: dict[str, tuple[str, Any, Code]] = {
    "encrypted, no passphrase": (ENCRYPTED, None, Code.PASSPHRASE_REQUIRED),
    "encrypted, empty object": (ENCRYPTED, {}, Code.PASSPHRASE_REQUIRED),
    "encrypted, wrong passphrase": (ENCRYPTED, {"passphrase": "hunter2"}, Code.PASSPHRASE_WRONG),
    "encrypted, empty passphrase": (ENCRYPTED, {"passphrase": ""}, Code.INVALID_REQUEST),
    "encrypted, null": (ENCRYPTED, {"passphrase": None}, Code.INVALID_REQUEST),
    "encrypted, unknown field": (ENCRYPTED, {"passphrase": PASSPHRASE, "hunter2": 1}, Code.INVALID_REQUEST),
    "plain, passphrase": (PLAIN, {"passphrase": "hunter2"}, Code.PASSPHRASE_UNEXPECTED),
}


@pytest.mark.usefixtures("plain", "encrypted")
@pytest.mark.parametrize(("backup_id", "body", "code"), LOCKS.values(), ids=LOCKS)
async def test_a_passphrase_that_does_not_fit_is_refused_at_once(
    client: httpx2.AsyncClient, jobs: MemoryJobs, backup_id: str, body: Any, code: Code
) -> None:
    for call in ("verify", "contents"):
        response = await client.post(f"{BACKUPS}/{backup_id}/{call}", **({} if body is None else {"json": body}))
        assert_problem(response, 422, code)
        assert "hunter2" not in response.text
    await assert_nothing_queued(jobs)


async def test_an_archive_that_is_none_is_named_as_such(
    client: httpx2.AsyncClient, jobs: MemoryJobs, store: LocalStore
) -> None:
    publish(store, "plain", b"no gzip at all")
    publish(store, "locked", b"no envelope at all\n", encrypted=True)
    body = {"passphrase": PASSPHRASE}
    assert_problem(await client.post(f"{BACKUPS}/locked/verify", json=body), 422, Code.ARCHIVE_FOREIGN)
    assert_problem(await client.post(f"{BACKUPS}/locked/contents", json=body), 422, Code.ARCHIVE_FOREIGN)
    response = await client.get(f"{BACKUPS}/plain/contents")
    assert response.json()["code"] in {Code.ARCHIVE_FOREIGN, Code.ARCHIVE_DAMAGED}, response.text
    await assert_nothing_queued(jobs)


@pytest.mark.usefixtures("plain")
async def test_the_contents_of_a_plain_archive_come_in_parts(client: httpx2.AsyncClient) -> None:
    address = f"{BACKUPS}/{PLAIN}/contents"
    whole = (await client.get(address)).json()
    assert [member["path"] for member in whole["members"]] == ["config/a", "config/b", "data/odd-\\xff"]
    assert whole["next_offset"] is None
    assert whole["members"][0]["size"] == 5
    first = (await client.get(address, params={"limit": 2})).json()
    assert first == {"members": whole["members"][:2], "next_offset": 2}
    second = (await client.get(address, params={"limit": 2, "offset": first["next_offset"]})).json()
    assert second == {"members": whole["members"][2:], "next_offset": None}
    middle = (await client.get(address, params={"limit": 1, "offset": 1})).json()
    assert middle == {"members": whole["members"][1:2], "next_offset": 2}
    below = (await client.get(address, params={"prefix": "config/", "offset": 1})).json()
    assert [member["path"] for member in below["members"]] == ["config/b"]


async def test_the_contents_of_an_encrypted_archive_need_its_passphrase(
    client: httpx2.AsyncClient, encrypted: Entry
) -> None:
    address = f"{BACKUPS}/{encrypted.backup_id}/contents"
    assert_problem(await client.get(address), 422, Code.PASSPHRASE_REQUIRED)
    response = await client.post(address, json={"passphrase": PASSPHRASE}, params={"prefix": "data/"})
    assert [member["path"] for member in response.json()["members"]] == ["data/b"]


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "offset=-1", "prefix=" + "x" * 4097, "limt=5"])
@pytest.mark.usefixtures("plain")
async def test_an_impossible_part_of_the_contents_is_refused(client: httpx2.AsyncClient, query: str) -> None:
    assert_problem(await client.get(f"{BACKUPS}/{PLAIN}/contents?{query}"), 422, Code.INVALID_REQUEST)
