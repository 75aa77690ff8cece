"""What requests leave in the audit log, and how it is read."""

import json
import stat

import httpx2
import pytest

from app.access.audit import AuditEvent
from app.access.tokens import Scope
from app.api.resources import Resources
from app.errors import Code
from app.jobs.rooms import MemoryJobs
from app.settings import Settings
from tests.api.conftest import ENCRYPTED, PASSPHRASE, PLAIN, TOKEN, assert_problem

AUDIT = "/api/audit"
LABEL = "a label that nobody else needs to know"


async def entries(client: httpx2.AsyncClient) -> list[dict[str, object]]:
    response = await client.get(AUDIT, params={"limit": 1000})
    assert response.status_code == 200, response.text
    found: list[dict[str, object]] = response.json()["entries"]
    return found


@pytest.mark.usefixtures("plain")
async def test_each_request_that_changes_something_is_told_with_its_end(
    client: httpx2.AsyncClient, resources: Resources
) -> None:
    _, token = resources.tokens.named.make("nightly", Scope.ADMIN, by="tests")
    client.headers["Authorization"] = f"Bearer {token}"
    accepted = await client.post("/api/config/backup", json={"label": LABEL})
    job_id = accepted.json()["job_id"]
    await client.post(f"/api/jobs/{job_id}/cancel")
    await client.delete(f"/api/config/backups/{PLAIN}")
    await client.delete(f"/api/config/backups/{PLAIN}")
    await client.post("/api/tokens", json={"name": "other", "scope": "read"})
    await client.delete("/api/tokens/other")
    told = await entries(client)
    assert [(entry["what"], entry["target"], entry["job_id"], entry["status"], entry["code"]) for entry in told] == [
        ("remove_token", "other", None, 204, None),
        ("make_token", "other", None, 201, None),
        ("delete_backup", PLAIN, None, 404, "backup_not_found"),
        ("delete_backup", PLAIN, None, 204, None),
        ("cancel_job", None, job_id, 202, None),
        ("create_backup", None, job_id, 202, None),
    ]
    assert {(entry["event"], entry["by"], entry["count"]) for entry in told} == {("request", "nightly", 1)}
    assert [entry["outcome"] for entry in told] == ["done", "done", "refused", "done", "done", "done"]
    assert told[-1]["request_id"] == accepted.headers["x-request-id"]
    assert told[-1]["peer"]


@pytest.mark.usefixtures("plain")
async def test_what_hands_out_the_cell_is_told_and_looking_is_not(client: httpx2.AsyncClient) -> None:
    for path in ("/ready", "/api/jobs", "/api/config/backups", f"/api/config/backups/{PLAIN}/contents", "/api/tokens"):
        await client.get(path)
    assert await entries(client) == []
    assert (await client.get(f"/api/config/backups/{PLAIN}/download")).status_code == 200
    [entry] = await entries(client)
    assert (entry["what"], entry["target"]) == ("download_backup", PLAIN)


async def test_a_request_that_is_refused_for_its_body_is_told_without_it(
    client: httpx2.AsyncClient, settings: Settings
) -> None:
    assert (await client.post("/api/config/backup", json={"label": LABEL, "passphrase": 5})).status_code == 422
    assert (await client.post("/api/config/backup", content=b"{")).status_code == 400
    assert [(entry["status"], entry["outcome"]) for entry in await entries(client)] == [
        (400, "refused"),
        (422, "refused"),
    ]
    assert LABEL not in (settings.state_dir / "audit.log").read_text()


@pytest.mark.usefixtures("encrypted")
async def test_neither_passphrase_nor_token_nor_body_is_in_it(client: httpx2.AsyncClient, settings: Settings) -> None:
    await client.post("/api/config/backup", json={"passphrase": PASSPHRASE, "label": LABEL})
    await client.post(f"/api/config/backups/{ENCRYPTED}/contents", json={"passphrase": PASSPHRASE})
    await client.post(f"/api/config/backups/{ENCRYPTED}/verify", json={"passphrase": PASSPHRASE + "x"})
    made = await client.post("/api/tokens", json={"name": "other", "scope": "read"})
    await client.get("/api/jobs", headers={"Authorization": "Bearer not-this-one"})
    text = (settings.state_dir / "audit.log").read_text()
    assert len(text.splitlines()) == 5
    for secret in (PASSPHRASE, LABEL, TOKEN, made.json()["token"], "not-this-one"):
        assert secret not in text
    assert stat.S_IMODE((settings.state_dir / "audit.log").stat().st_mode) == 0o600


async def test_an_unforeseen_error_is_told(
    client: httpx2.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(jobs.store, "create", break_down)
    assert_problem(await client.post("/api/config/backup"), 500, Code.INTERNAL)
    [entry] = await entries(client)
    assert (entry["status"], entry["outcome"], entry["code"]) == (500, "failed", "internal")


async def test_it_is_read_page_by_page_newest_first(client: httpx2.AsyncClient, resources: Resources) -> None:
    for number in range(25):
        resources.audit.write(AuditEvent.JOB_ENDED, what="backup", job_id=f"{number:02}", outcome="succeeded")
    seen: list[str] = []
    before = None
    for _ in range(3):
        params = {"limit": 10} | ({"before": before} if before else {})
        page = (await client.get(AUDIT, params=params)).json()
        seen += [entry["job_id"] for entry in page["entries"]]
        before = page["next_before"]
        if len(seen) == 10:
            resources.audit.write(AuditEvent.JOB_ENDED, what="backup", job_id="late")  # moves nothing
    assert seen == [f"{number:02}" for number in reversed(range(25))]
    assert before is None


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "before=x", "before=../../etc", "limit=a"])
async def test_a_page_that_cannot_be_is_refused(client: httpx2.AsyncClient, query: str) -> None:
    assert_problem(await client.get(f"{AUDIT}?{query}"), 422, Code.INVALID_REQUEST)


async def test_a_log_that_cannot_be_written_keeps_nobody_from_working_and_nothing_back(
    client: httpx2.AsyncClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.state_dir.mkdir(exist_ok=True)
    (settings.state_dir / "audit.log").mkdir()
    assert (await client.post("/api/config/backup")).status_code == 202
    [line] = [record.getMessage() for record in caplog.records if "audit.log" in record.getMessage()]
    assert json.loads(line.partition("The entry is: ")[2])["what"] == "create_backup"
    assert_problem(await client.get(AUDIT), 500, Code.FILE_UNREADABLE)
