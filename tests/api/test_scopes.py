"""Which scope each operation needs, in the document and in fact."""

import httpx2
import pytest
from fastapi import FastAPI

from app.access.tokens import Scope
from app.api.resources import Resources
from app.errors import Code
from app.jobs.rooms import MemoryJobs
from tests.api.conftest import PLAIN, assert_nothing_queued, assert_problem

# a new operation is put here by hand: whoever adds one decides
READ = {
    "ready",
    "metrics",
    "list_backups",
    "get_backup",
    "list_contents",
    "list_jobs",
    "get_job",
    "follow_job",
    "get_receiver",
    "list_webhooks",
    "get_retention",
    "list_schedules",
    "get_schedule",
}
PUBLIC = {"health", "log_in"}
# whose session it is may do this with any scope
OWN = {"get_session", "log_out"}


def operations(app: FastAPI) -> dict[str, tuple[str, str, list[str]]]:
    """Give method, path and scopes of each operation, as the document has them."""
    return {
        operation["operationId"]: (
            method.upper(),
            path,
            [scope for wanted in operation.get("security", []) for scope in wanted.get("token", ())],
        )
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }


@pytest.fixture
def reader(resources: Resources) -> dict[str, str]:
    """Give the headers of one who may only read."""
    _, token = resources.tokens.named.make("dashboard", Scope.READ, by="tests")
    return {"Authorization": f"Bearer {token}"}


def test_each_operation_says_which_scope_it_needs(app: FastAPI) -> None:
    scopes = {name: scopes for name, (_, _, scopes) in operations(app).items()}
    assert {name for name in scopes if not scopes[name]} == PUBLIC | OWN
    assert {name for name in scopes if scopes[name] == ["read"]} == READ
    assert all(scopes[name] == ["admin"] for name in scopes.keys() - PUBLIC - OWN - READ)
    for path in app.openapi()["paths"].values():
        for method, operation in path.items():
            name = operation["operationId"]
            examples = operation["responses"].get("403", {}).get("content", {}).get("application/problem+json", {})
            codes = set(examples.get("examples", ()))
            assert ("forbidden" in codes) is (scopes[name] == ["admin"]), name
            assert ("csrf_failed" in codes) is (method != "get" and name not in PUBLIC), name


def test_each_operation_that_takes_a_token_takes_a_session_too(app: FastAPI) -> None:
    assert app.openapi()["components"]["securitySchemes"]["session"] | {"description": ""} == {
        "type": "apiKey",
        "in": "cookie",
        "name": "cell_backup_session",
        "description": "",
    }
    for path in app.openapi()["paths"].values():
        for operation in path.values():
            ways = {way: scopes for wanted in operation.get("security", ()) for way, scopes in wanted.items()}
            if operation["operationId"] in OWN:
                assert ways == {"session": []}
            else:
                assert ways.get("session") == ways.get("token"), operation["operationId"]


@pytest.mark.usefixtures("plain")
async def test_who_may_only_read_is_refused_everything_else(
    app: FastAPI, stranger: httpx2.AsyncClient, reader: dict[str, str], jobs: MemoryJobs
) -> None:
    admin = {name: found for name, found in operations(app).items() if found[2] == ["admin"]}
    assert len(admin) >= 12
    for method, path, _ in admin.values():
        address = path.replace("{backup_id}", PLAIN)
        # the body is broken too: who may not ask is not told
        response = await stranger.request(method, address, headers=reader, content=b"{")
        assert_problem(response, 403, Code.FORBIDDEN)
    head = await stranger.head(f"/api/config/backups/{PLAIN}/download", headers=reader)
    assert head.status_code == 403
    await assert_nothing_queued(jobs)


@pytest.mark.usefixtures("plain")
async def test_who_may_only_read_may_read(stranger: httpx2.AsyncClient, reader: dict[str, str]) -> None:
    for path in (
        "/ready",
        "/metrics",
        "/api/jobs",
        "/api/config/backups",
        f"/api/config/backups/{PLAIN}",
        f"/api/config/backups/{PLAIN}/contents",
    ):
        response = await stranger.get(path, headers=reader)
        assert response.status_code == 200, (path, response.text)
