from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from app.api.submission import new_job
from app.catalog.base import Entry, Verification
from app.catalog.local import LocalStore
from app.errors import Code
from app.jobs.records import JobKind
from app.jobs.rooms import MemoryJobs
from app.settings import Settings
from tests.api.conftest import PASSPHRASE, PLAIN, assert_nothing_queued, assert_problem, publish

BACKUPS = "/api/config/backups"
MISSING = f"{BACKUPS}/backup-20200101-000000-000000"


async def test_an_empty_catalog_is_a_list(client: httpx2.AsyncClient) -> None:
    assert (await client.get(BACKUPS)).json() == {"backups": [], "total": 0}


async def test_the_catalog_lists_a_part_newest_first_and_tells_how_many_there_are(
    client: httpx2.AsyncClient, store: LocalStore
) -> None:
    names = [f"backup-20261123-02000{digit}-aaaaaa" for digit in range(5)]
    for name in names:
        publish(store, name, b"content")
    everything = (await client.get(BACKUPS)).json()
    assert everything["total"] == 5
    part = (await client.get(BACKUPS, params={"limit": 2, "offset": 1})).json()
    assert part == {"backups": everything["backups"][1:3], "total": 5}
    assert (await client.get(BACKUPS, params={"offset": 99})).json() == {"backups": [], "total": 5}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", f"offset={10**30}"])
async def test_an_impossible_part_is_refused(client: httpx2.AsyncClient, query: str) -> None:
    for address in (BACKUPS, "/api/jobs"):
        assert_problem(await client.get(f"{address}?{query}"), 422, Code.INVALID_REQUEST)


async def test_a_backup_shows_what_is_known_without_opening_it(
    client: httpx2.AsyncClient, store: LocalStore, plain: Entry
) -> None:
    now = datetime.now(UTC)
    store.record_verification(PLAIN, Verification(now, ok=True))
    shown = (await client.get(f"{BACKUPS}/{PLAIN}")).json()
    assert shown["backup_id"] == PLAIN
    assert shown["file_name"] == f"{PLAIN}.tar.gz"
    assert (shown["size"], shown["sha256"]) == (plain.size, plain.sha256)
    assert (shown["encrypted"], shown["outcome"], shown["label"]) == (False, "succeeded", "of the tests")
    assert shown["verified"]["ok"] is True
    assert datetime.fromisoformat(shown["verified"]["at"]) == now


async def test_a_backup_tells_when_it_is_removed_by_rule(
    client: httpx2.AsyncClient, store: LocalStore, plain: Entry
) -> None:
    assert (await client.get(f"{BACKUPS}/{PLAIN}")).json()["expires_at"] is None
    with store.create("kept-for-a-week", encrypted=False) as archive:
        archive.publish(replace(plain, backup_id="kept-for-a-week", expires_at=datetime(2026, 11, 30, tzinfo=UTC)))
    for address in (f"{BACKUPS}/kept-for-a-week", BACKUPS):
        answer = (await client.get(address)).json()
        [shown] = [item for item in answer.get("backups", [answer]) if item["backup_id"] == "kept-for-a-week"]
        assert datetime.fromisoformat(shown["expires_at"]) == datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.usefixtures("plain", "encrypted")
async def test_reading_changes_nothing(client: httpx2.AsyncClient, settings: Settings, jobs: MemoryJobs) -> None:
    def state() -> list[tuple[str, int, bytes]]:
        return [(p.name, p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(settings.archives_dir.iterdir())]

    before = state()
    for address in (BACKUPS, f"{BACKUPS}/{PLAIN}", f"{BACKUPS}/{PLAIN}/contents", f"{BACKUPS}/{PLAIN}/download"):
        answers = [await client.get(address) for _ in range(2)]
        assert answers[0].status_code == 200, answers[0].text
        assert answers[0].content == answers[1].content
    assert state() == before
    await assert_nothing_queued(jobs)


@pytest.mark.usefixtures("plain")
async def test_a_deleted_backup_is_gone(client: httpx2.AsyncClient, settings: Settings) -> None:
    response = await client.delete(f"{BACKUPS}/{PLAIN}")
    assert (response.status_code, response.content) == (204, b"")
    assert list(settings.archives_dir.iterdir()) == []
    assert_problem(await client.get(f"{BACKUPS}/{PLAIN}"), 404, Code.BACKUP_NOT_FOUND)
    assert_problem(await client.delete(f"{BACKUPS}/{PLAIN}"), 404, Code.BACKUP_NOT_FOUND)


async def test_the_only_backup_that_has_been_proven_whole_is_not_deleted(
    client: httpx2.AsyncClient, store: LocalStore, plain: Entry, encrypted: Entry
) -> None:
    store.record_verification(plain.backup_id, Verification(datetime.now(UTC), ok=True))
    store.record_verification(encrypted.backup_id, Verification(datetime.now(UTC), ok=False))
    assert_problem(await client.delete(f"{BACKUPS}/{PLAIN}"), 409, Code.BACKUP_LAST_VERIFIED)
    assert store.path(PLAIN).exists()
    store.record_verification(encrypted.backup_id, Verification(datetime.now(UTC), ok=True))
    assert (await client.delete(f"{BACKUPS}/{PLAIN}")).status_code == 204


@pytest.mark.parametrize("address", [BACKUPS, f"{BACKUPS}/{PLAIN}", f"{BACKUPS}/{PLAIN}/download"])
async def test_a_backup_directory_that_cannot_be_read_is_said_to_be_so(
    client: httpx2.AsyncClient, settings: Settings, address: str
) -> None:
    settings.archives_dir.parent.mkdir(exist_ok=True)
    settings.archives_dir.symlink_to(settings.archives_dir)  # nobody can follow this one, not even root
    assert_problem(await client.get(address), 500, Code.FILE_UNREADABLE)


@pytest.mark.usefixtures("plain")
async def test_a_backup_that_a_job_works_on_is_not_deleted(
    client: httpx2.AsyncClient, store: LocalStore, jobs: MemoryJobs
) -> None:
    job = new_job(JobKind.VERIFY, PLAIN, {})
    await jobs.store.create(job, max_queued=1)
    document = assert_problem(await client.delete(f"{BACKUPS}/{PLAIN}"), 409, Code.BACKUP_IN_USE)
    assert job.job_id in document["detail"]
    assert store.get(PLAIN).backup_id == PLAIN


BAD_IDS = {
    "slash": "a%2Fb",
    "plain slash": "a/b",
    "parent": "..%2F..%2Fetc%2Fpasswd",
    "only dots": "%2e%2e",
    "NUL": "backup%00",
    "tab": "backup%09",
    "200 characters": "x" * 200,
    "dot first": ".hidden",
    "dash first": "-rf",
    "blank": "%20",
    "not UTF-8": "%ff",
    "not ASCII": "%C3%BC",
    "drive": "c%3A%5Cwindows",
}
CALLS = [
    ("GET", ""),
    ("DELETE", ""),
    ("GET", "/download"),
    ("HEAD", "/download"),
    ("GET", "/contents"),
    ("POST", "/contents"),
    ("POST", "/verify"),
]


@pytest.mark.parametrize("backup_id", BAD_IDS.values(), ids=BAD_IDS)
async def test_what_cannot_be_a_backup_id_is_refused_everywhere(
    client: httpx2.AsyncClient, jobs: MemoryJobs, backup_id: str
) -> None:
    for method, suffix in CALLS:
        response = await client.request(method, f"{BACKUPS}/{backup_id}{suffix}")
        assert response.status_code == 422, (method, suffix, response.text)
        if method != "HEAD":
            assert_problem(response, 422, Code.INVALID_BACKUP_ID)
    await assert_nothing_queued(jobs)


@pytest.mark.usefixtures("plain")
async def test_a_line_break_behind_an_id_is_not_overlooked(client: httpx2.AsyncClient, store: LocalStore) -> None:
    for method, suffix in CALLS:
        for address in (f"{BACKUPS}/{PLAIN}%0a{suffix}", f"{BACKUPS}/{PLAIN}{suffix}%0a"):
            assert (await client.request(method, address)).status_code == 404
    assert store.get(PLAIN).backup_id == PLAIN


async def test_an_unknown_backup_is_not_found_anywhere(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    for method, suffix in CALLS:
        response = await client.request(method, MISSING + suffix)
        assert response.status_code == 404, (method, suffix, response.text)
        if method != "HEAD":
            assert_problem(response, 404, Code.BACKUP_NOT_FOUND)
    await assert_nothing_queued(jobs)


async def test_a_download_is_the_file(client: httpx2.AsyncClient, store: LocalStore, plain: Entry) -> None:
    response = await client.get(f"{BACKUPS}/{PLAIN}/download")
    assert response.status_code == 200
    assert response.content == store.path(PLAIN).read_bytes()
    assert response.headers["content-type"] == "application/gzip"
    assert response.headers["content-disposition"] == f'attachment; filename="{PLAIN}.tar.gz"'
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"] == f'"{plain.sha256}"'
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_an_encrypted_download_stays_encrypted(
    client: httpx2.AsyncClient, store: LocalStore, encrypted: Entry
) -> None:
    response = await client.get(f"{BACKUPS}/{encrypted.backup_id}/download")
    assert response.content == store.path(encrypted.backup_id).read_bytes()
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].endswith('.tar.gz.age"')
    assert PASSPHRASE.encode() not in response.content


async def test_head_tells_the_size_and_sends_nothing(client: httpx2.AsyncClient, plain: Entry) -> None:
    response = await client.head(f"{BACKUPS}/{PLAIN}/download")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(plain.size)
    assert response.headers["etag"] == f'"{plain.sha256}"'


async def test_parts_of_a_download_make_the_whole(client: httpx2.AsyncClient, store: LocalStore, plain: Entry) -> None:
    address = f"{BACKUPS}/{PLAIN}/download"
    content = store.path(PLAIN).read_bytes()
    first = await client.get(address, headers={"Range": "bytes=0-9"})
    rest = await client.get(address, headers={"Range": "bytes=10-", "If-Range": f'"{plain.sha256}"'})
    last = await client.get(address, headers={"Range": "bytes=-4"})
    assert [part.status_code for part in (first, rest, last)] == [206, 206, 206]
    assert first.content + rest.content == content
    assert last.content == content[-4:]
    assert first.headers["content-range"] == f"bytes 0-9/{plain.size}"
    several = await client.get(address, headers={"Range": "bytes=0-1,4-5"})
    assert several.status_code == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    other = await client.get(address, headers={"Range": "bytes=10-", "If-Range": '"another file"'})
    assert (other.status_code, other.content) == (200, content)


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=5-4", "bytes=a-b", "pages=1-2", "nonsense", "bytes="])
async def test_a_range_that_the_file_does_not_have_is_a_problem(
    client: httpx2.AsyncClient, plain: Entry, asked: str
) -> None:
    response = await client.get(f"{BACKUPS}/{PLAIN}/download", headers={"Range": asked})
    assert_problem(response, 416, Code.RANGE_NOT_SATISFIABLE)
    assert response.headers["content-range"] == f"bytes */{plain.size}"


@pytest.mark.usefixtures("plain")
async def test_a_backup_that_goes_away_before_it_is_sent_is_not_found(
    client: httpx2.AsyncClient, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.path(PLAIN)

    def gone(_: str) -> Path:
        path.unlink(missing_ok=True)
        return path

    monkeypatch.setattr(store, "path", gone)
    assert_problem(await client.get(f"{BACKUPS}/{PLAIN}/download"), 404, Code.BACKUP_NOT_FOUND)


async def test_an_archive_that_was_copied_in_is_listed_and_served(
    client: httpx2.AsyncClient, store: LocalStore, plain: Entry
) -> None:
    path = store.path(plain.backup_id)
    copy = path.with_name("cell-backup-20260101-000000.tar.gz")
    copy.write_bytes(path.read_bytes())
    shown = (await client.get(f"{BACKUPS}/cell-backup-20260101-000000")).json()
    assert (shown["described"], shown["size"], shown["sha256"]) == (False, plain.size, None)
    response = await client.get(f"{BACKUPS}/cell-backup-20260101-000000/download")
    assert response.content == copy.read_bytes()
