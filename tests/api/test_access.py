import stat
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.access.tokens import load_token
from app.errors import Code, InputError
from app.jobs.rooms import MemoryJobs
from app.settings import Settings
from tests.api.conftest import TOKEN, assert_nothing_queued, assert_problem

PUBLIC = {("GET", "/health"), ("POST", "/api/session")}


def operations(app: FastAPI) -> list[tuple[str, str]]:
    paths = app.openapi()["paths"]
    return [(method.upper(), path) for path in paths for method in paths[path]]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
async def test_every_address_but_health_wants_the_token(
    app: FastAPI, stranger: httpx2.AsyncClient, jobs: MemoryJobs, header: str | None
) -> None:
    guarded = [item for item in operations(app) if item not in PUBLIC]
    assert len(guarded) >= 12
    headers = {} if header is None else {"Authorization": header}
    for method, path in guarded:
        # the body is broken too: who has no token is not told
        response = await stranger.request(method, path, headers=headers, content=b"{")
        assert_problem(response, 401, Code.UNAUTHORIZED)
        assert response.headers["www-authenticate"].startswith("Bearer")
    await assert_nothing_queued(jobs)


async def test_a_token_with_foreign_letters_is_refused_and_not_an_error(stranger: httpx2.AsyncClient) -> None:
    response = await stranger.get("/ready", headers={b"Authorization": "Bearer tökén".encode()})
    assert_problem(response, 401, Code.UNAUTHORIZED)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_opens_the_door(stranger: httpx2.AsyncClient, scheme: str) -> None:
    assert (await stranger.get("/api/jobs", headers={"Authorization": f"{scheme} {TOKEN}"})).status_code == 200


async def test_health_and_documentation_are_public(stranger: httpx2.AsyncClient) -> None:
    for path in ("/health", "/docs", "/openapi.json", "/assets/docs.js"):
        assert (await stranger.get(path)).status_code == 200


def test_a_token_is_made_once_and_only_its_owner_can_read_it(settings: Settings) -> None:
    token = load_token(settings)
    file = settings.state_dir / "api-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.state_dir.stat().st_mode) == 0o700
    assert len(token) >= 40
    assert load_token(settings) == token
    assert [path.name for path in settings.state_dir.iterdir()] == ["api-token"]


def test_of_two_processes_that_start_at_once_both_find_the_token_of_the_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_token(settings)
    monkeypatch.setattr(
        "app.jobs.state_dir.os.path.lexists", lambda _: False
    )  # the second looked before the first wrote
    assert load_token(settings) == first
    assert [path.name for path in settings.state_dir.iterdir()] == ["api-token"]


def test_a_configured_token_needs_no_file(settings: Settings) -> None:
    configured = settings.model_copy(update={"api_token": SecretStr("chosen")})
    assert load_token(configured) == "chosen"
    assert not settings.state_dir.exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"two\nlines\n"])
def test_a_token_file_that_holds_no_token_is_named(settings: Settings, content: bytes) -> None:
    settings.state_dir.mkdir()
    (settings.state_dir / "api-token").write_bytes(content)
    with pytest.raises(InputError, match="api-token") as caught:
        load_token(settings)
    assert caught.value.code is Code.INVALID_SETTING


def test_a_state_directory_that_cannot_be_made_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/state") as caught:
        load_token(settings.model_copy(update={"state_dir": tmp_path / "file/state"}))
    assert caught.value.code is Code.INVALID_SETTING
