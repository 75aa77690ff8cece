import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from typing_extensions import override

from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.errors import Code
from app.jobs.rooms import MemoryJobs
from app.logs import Hiding, TextLines
from tests.api.conftest import PASSPHRASE, PLAIN, TOKEN, assert_nothing_queued, assert_problem
from tests.api.serving import served

BACKUP = "/api/config/backup"


class Lines(logging.Handler):
    """Keep lines as they would be written, made while what they are about is known."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(TextLines(Hiding(())))
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def shown() -> Iterator[list[str]]:
    """Give the lines of the log from INFO."""
    root, handler = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.lines
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/nothing", "/api/jobs/", "/assets/nothing.js", "/api/jobs%0A"]
)
async def test_what_is_not_there_is_a_problem_document(client: httpx2.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path), 404, Code.NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", BACKUP, "POST"), ("PUT", "/api/jobs", "GET"), ("POST", "/health", "GET"), ("TRACE", "/docs", "GET")],
)
async def test_a_wrong_method_is_a_problem_document(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert_problem(response, 405, Code.METHOD_NOT_ALLOWED)
    assert response.headers["allow"] == allowed


async def test_an_unforeseen_error_is_logged_once_under_the_id_of_the_answer(
    client: httpx2.AsyncClient,
    store: LocalStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    shown: list[str],
) -> None:
    def break_down() -> list[Entry]:
        raise ZeroDivisionError("the inner life of the service")

    monkeypatch.setattr(store, "entries", break_down)
    response = await client.get("/api/config/backups")
    document = assert_problem(response, 500, Code.INTERNAL)
    assert "inner life" not in response.text
    request_id = response.headers["x-request-id"]
    assert document["instance"] == f"urn:uuid:{request_id}"
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    [line] = [line for line in shown if "ERROR" in line]
    assert f"request_id={request_id}" in line
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_each_request_has_its_own_line_in_the_log_and_no_line_break_gets_in(
    client: httpx2.AsyncClient, shown: list[str]
) -> None:
    responses = [await client.get("/api/a%0Ab?passphrase=hunter2"), await client.get("/health")]
    lines = [line.partition(" app.access: ")[2] for line in shown if "app.access" in line]
    assert len(lines) == 2
    assert lines[0].startswith("GET /api/a%0Ab 404 ")
    assert lines[1].startswith("GET /health 200 ")
    for line, response in zip(lines, responses, strict=True):
        assert line.endswith(f" request_id={response.headers['x-request-id']}")
    assert not any("hunter2" in line or TOKEN in line for line in lines)


@pytest.mark.usefixtures("plain", "encrypted")
async def test_no_secret_gets_into_the_log(client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    accepted = await client.post(BACKUP, json={"passphrase": PASSPHRASE})
    await client.get(accepted.headers["location"])
    await client.post(f"/api/config/backups/{PLAIN}/verify", json={"passphrase": PASSPHRASE})
    await client.post(BACKUP, json={"passphrase": PASSPHRASE, "label": 5})
    assert caplog.records
    for secret in (PASSPHRASE, TOKEN):
        assert secret not in caplog.text


@pytest.mark.parametrize("path", ["/health", "/docs", "/nothing", "/assets/docs.js", "/api/jobs"])
async def test_every_answer_keeps_browsers_in_check(client: httpx2.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "strict-transport-security" not in headers


async def test_over_a_real_connection_a_body_of_10_megabytes_is_answered(app: FastAPI, jobs: MemoryJobs) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    async def unannounced() -> Any:
        for _ in range(160):
            yield b" " * 65536

    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=headers) as client:
        for _ in range(2):
            for body in (b" " * (10 << 20), unannounced()):
                assert_problem(await client.post(BACKUP, content=body), 413, Code.BODY_TOO_LARGE)
    await assert_nothing_queued(jobs)


@pytest.mark.parametrize(
    ("length", "sent"),
    [(10 << 20, 10 << 20), (1 << 40, 0)],
    ids=["10 MB, sent to its end", "a terabyte, not sent at all"],
)
async def test_a_client_that_writes_before_it_reads_sees_the_refusal(app: FastAPI, length: int, sent: int) -> None:
    head = f"POST {BACKUP} HTTP/1.1\r\nHost: cell\r\nContent-Length: {length}\r\n\r\n"
    async with served(app) as url, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head.encode() + bytes(sent))
        await writer.drain()
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert status.split()[1] == b"413"


async def test_over_a_real_connection_a_download_goes_on_where_it_was_cut(
    app: FastAPI, store: LocalStore, plain: Entry
) -> None:
    address = f"/api/config/backups/{plain.backup_id}/download"
    content = store.path(plain.backup_id).read_bytes()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=headers) as client:
        head = await client.head(address)
        assert int(head.headers["content-length"]) == len(content)
        first = await client.get(address, headers={"Range": "bytes=0-99"})
        rest = await client.get(address, headers={"Range": "bytes=100-", "If-Range": head.headers["etag"]})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.content + rest.content == content
