"""Logging in to the admin page: what the cookie opens, what it does not, and what ends it."""

import logging
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from app.access.tokens import BOOTSTRAP, Scope
from app.api.resources import Resources
from app.errors import Code
from app.jobs.rooms import MemoryJobs
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import PLAIN, TOKEN, assert_nothing_queued, assert_problem, client_of
from tests.api.serving import served

SESSION = "/api/session"
BACKUP = "/api/config/backup"
COOKIE = "cell_backup_session"


async def log_in(client: httpx2.AsyncClient, token: str = TOKEN) -> dict[str, Any]:
    """Log in, as a browser does: the client keeps the cookie. Give what the page is told."""
    response = await client.post(SESSION, json={"token": token})
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def csrf(session: dict[str, Any]) -> dict[str, str]:
    return {"X-CSRF-Token": session["csrf_token"]}


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client that comes by cookie."""
    async with client_of(app) as client:
        await log_in(client)
        yield client


def flags(response: httpx2.Response) -> dict[str, Any]:
    [header] = response.headers.get_list("set-cookie")
    [(name, cookie)] = SimpleCookie(header).items()
    assert name == COOKIE
    return {flag: value for flag, value in cookie.items() if value}


async def test_who_logs_in_is_told_who_they_are(stranger: httpx2.AsyncClient) -> None:
    told = await log_in(stranger)
    assert told.keys() == {"name", "scope", "csrf_token", "expires_at"}
    assert (told["name"], told["scope"]) == (BOOTSTRAP, "admin")
    again = await stranger.get(SESSION)
    assert (again.status_code, again.json()) == (200, told)
    assert again.headers["cache-control"] == "no-store"


async def test_a_token_that_was_pasted_with_a_line_break_is_taken(stranger: httpx2.AsyncClient) -> None:
    told = await log_in(stranger, f" {TOKEN}\n")
    assert told["name"] == BOOTSTRAP


async def test_scripts_and_other_sites_never_get_the_cookie(stranger: httpx2.AsyncClient) -> None:
    response = await stranger.post(SESSION, json={"token": TOKEN})
    assert flags(response) == {"httponly": True, "samesite": "strict", "path": "/"}
    assert stranger.cookies[COOKIE] not in response.text


@pytest.mark.parametrize(("proto", "secure"), [("https", True), ("http", False)])
async def test_behind_a_proxy_that_speaks_https_the_cookie_is_for_https_alone(
    app: FastAPI, resources: Resources, proto: str, *, secure: bool
) -> None:
    headers = {"X-Forwarded-Proto": proto}
    async with served(app, resources) as url, httpx2.AsyncClient(base_url=url, headers=headers) as client:
        response = await client.post(SESSION, json={"token": TOKEN})
        assert response.status_code == 200
        assert flags(response).get("secure", False) is secure


async def test_below_a_path_of_the_server_the_cookie_is_for_that_path(app: FastAPI) -> None:
    app.root_path = "/backup"
    async with client_of(app) as client:
        response = await client.post(f"/backup{SESSION}", json={"token": TOKEN})
        assert flags(response)["path"] == "/backup"


@pytest.mark.usefixtures("plain")
async def test_the_cookie_opens_what_the_token_opens(browser: httpx2.AsyncClient) -> None:
    for path in ("/ready", "/metrics", "/api/jobs", "/api/tokens", f"/api/config/backups/{PLAIN}/download"):
        assert (await browser.get(path)).status_code == 200, path
    session = (await browser.get(SESSION)).json()
    assert (await browser.post(BACKUP, headers=csrf(session))).status_code == 202


async def test_a_stream_of_events_comes_by_cookie(browser: httpx2.AsyncClient, resources: Resources) -> None:
    session = (await browser.get(SESSION)).json()
    job = (await browser.post(BACKUP, headers=csrf(session))).json()
    resources.closing.set()  # streams end at once
    response = await browser.get(f"/api/jobs/{job['job_id']}/events")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("shown", [None, "", "wrong", "ö"])
async def test_a_change_without_the_right_csrf_token_is_refused_everywhere(
    app: FastAPI, browser: httpx2.AsyncClient, jobs: MemoryJobs, resources: Resources, shown: str | None
) -> None:
    headers = {} if shown is None else {b"X-CSRF-Token": shown.encode()}
    changing = [
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        if method != "get" and operation["operationId"] != "log_in"
    ]
    assert len(changing) >= 15
    for method, path in changing:
        # the body is broken too: it is not looked at
        response = await browser.request(method, path, headers=headers, content=b"{")
        assert_problem(response, 403, Code.CSRF_FAILED)
    await assert_nothing_queued(jobs)
    assert (await browser.get(SESSION)).status_code == 200
    noted = resources.audit.read(limit=100)
    assert {(entry.by, entry.code) for entry in noted[:-1]} == {(BOOTSTRAP, "csrf_failed")}


async def test_the_csrf_token_of_another_session_is_worth_nothing(app: FastAPI, browser: httpx2.AsyncClient) -> None:
    async with client_of(app) as other:
        foreign = await log_in(other)
    assert_problem(await browser.post(BACKUP, headers=csrf(foreign)), 403, Code.CSRF_FAILED)


async def test_a_browser_that_says_it_asks_for_another_site_is_refused(browser: httpx2.AsyncClient) -> None:
    right = csrf((await browser.get(SESSION)).json())
    refused = await browser.post(BACKUP, headers={**right, "Sec-Fetch-Site": "cross-site"})
    assert_problem(refused, 403, Code.CSRF_FAILED)
    assert (await browser.post(BACKUP, headers={**right, "Sec-Fetch-Site": "same-origin"})).status_code == 202


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic YTpi"])
async def test_where_both_come_the_header_alone_counts(browser: httpx2.AsyncClient, header: str) -> None:
    response = await browser.get("/api/jobs", headers={"Authorization": header})
    assert_problem(response, 401, Code.UNAUTHORIZED)
    # and a token needs no CSRF token, whatever cookies come with it
    assert (await browser.post(BACKUP, headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 202


async def test_who_logged_in_to_look_may_not_change_anything(
    stranger: httpx2.AsyncClient, resources: Resources
) -> None:
    _, token = resources.tokens.named.make("dashboard", Scope.READ, by="tests")
    session = await log_in(stranger, token)
    assert (session["name"], session["scope"]) == ("dashboard", "read")
    assert (await stranger.get("/api/jobs")).status_code == 200
    assert_problem(await stranger.post(BACKUP, headers=csrf(session)), 403, Code.FORBIDDEN)
    assert_problem(await stranger.get("/api/tokens"), 403, Code.FORBIDDEN)
    assert (await stranger.delete(SESSION, headers=csrf(session))).status_code == 204


async def test_who_logs_out_is_out_and_the_cookie_goes(browser: httpx2.AsyncClient) -> None:
    session = (await browser.get(SESSION)).json()
    cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    response = await browser.delete(SESSION, headers=csrf(session))
    assert response.status_code == 204
    assert flags(response)["max-age"] == "0"
    assert COOKIE not in browser.cookies
    for path in (SESSION, "/api/jobs"):
        assert_problem(await browser.get(path, headers=cookie), 401, Code.UNAUTHORIZED)


async def test_logging_in_again_ends_the_session_that_the_browser_had(browser: httpx2.AsyncClient) -> None:
    old = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    await log_in(browser)
    assert (await browser.get("/api/jobs")).status_code == 200
    browser.cookies.clear()
    assert_problem(await browser.get("/api/jobs", headers=old), 401, Code.UNAUTHORIZED)


@pytest.mark.parametrize("token", ["wrong", "ö", "\\ud800", " "])
async def test_a_wrong_token_leaves_the_session_as_it_is(browser: httpx2.AsyncClient, token: str) -> None:
    body = f'{{"token": "{token}"}}'
    response = await browser.post(SESSION, content=body, headers={"Content-Type": "application/json"})
    problem = assert_problem(response, 401, Code.UNAUTHORIZED)
    assert "api-token" in problem["hint"]
    assert (await browser.get("/api/jobs")).status_code == 200


async def test_nobody_chooses_the_id_of_a_session(stranger: httpx2.AsyncClient) -> None:
    chosen = {"Cookie": f"{COOKIE}=chosen-by-another"}
    response = await stranger.post(SESSION, json={"token": TOKEN}, headers=chosen)
    assert response.status_code == 200
    assert stranger.cookies[COOKIE] != "chosen-by-another"
    stranger.cookies.clear()
    assert_problem(await stranger.get("/api/jobs", headers=chosen), 401, Code.UNAUTHORIZED)


@pytest.mark.parametrize("change", ["remove", "rotate"])
async def test_a_token_that_is_valid_no_longer_ends_its_session_at_once(
    stranger: httpx2.AsyncClient, resources: Resources, change: str
) -> None:
    _, token = resources.tokens.named.make("phone", Scope.ADMIN, by="tests")
    session = await log_in(stranger, token)
    assert (await stranger.get("/api/jobs")).status_code == 200
    if change == "remove":
        resources.tokens.named.remove("phone")
    else:
        resources.tokens.named.rotate("phone", by="tests")
    assert_problem(await stranger.get("/api/jobs"), 401, Code.UNAUTHORIZED)
    assert_problem(await stranger.post(BACKUP, headers=csrf(session)), 401, Code.UNAUTHORIZED)
    assert_problem(await stranger.get(SESSION), 401, Code.UNAUTHORIZED)


async def test_a_process_that_starts_again_knows_no_session(
    browser: httpx2.AsyncClient, resources: Resources, settings: Settings
) -> None:
    cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    fresh = Resources(
        **{name: getattr(resources, name) for name in ("tokens", "audit", "layout", "jobs", "store", "engine")},
        settings=settings,
    )
    async with client_of(create_app(settings, resources=fresh)) as client:
        problem = assert_problem(await client.get("/api/jobs", headers=cookie), 401, Code.UNAUTHORIZED)
        assert "Log in" in problem["hint"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"token": ""}', b'{"token": 5}', b'{"token": null}'])
async def test_a_login_without_a_token_is_refused(stranger: httpx2.AsyncClient, body: bytes) -> None:
    response = await stranger.post(SESSION, content=body, headers={"Content-Type": "application/json"})
    assert response.json()["code"] in {Code.INVALID_JSON, Code.INVALID_REQUEST}, response.text
    assert COOKIE not in stranger.cookies


async def test_a_form_of_another_site_logs_nobody_in(stranger: httpx2.AsyncClient) -> None:
    body = b'{"token": "%s"}' % TOKEN.encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = await stranger.post(SESSION, content=body, headers={"Content-Type": kind})
        assert_problem(response, 400, Code.INVALID_JSON)


async def test_logins_and_logouts_are_in_the_audit_log(stranger: httpx2.AsyncClient, resources: Resources) -> None:
    _, token = resources.tokens.named.make("phone", Scope.READ, by="tests")
    session = await log_in(stranger, token)
    await stranger.get(SESSION)
    out = await stranger.delete(SESSION, headers=csrf(session))
    await stranger.post(SESSION, json={"token": "wrong"})
    told = resources.audit.read(limit=10)
    assert [(entry.event, entry.what, entry.by, entry.status, entry.outcome) for entry in told] == [
        ("refused", None, None, 401, "refused"),
        ("request", "log_out", "phone", 204, "done"),
        ("request", "log_in", "phone", 200, "done"),
    ]
    assert told[1].request_id == out.headers["x-request-id"]
    assert told[1].peer


async def test_what_is_done_by_cookie_is_told_with_the_name_of_the_token(
    stranger: httpx2.AsyncClient, resources: Resources
) -> None:
    _, token = resources.tokens.named.make("phone", Scope.ADMIN, by="tests")
    session = await log_in(stranger, token)
    await stranger.post(BACKUP, headers=csrf(session))
    assert [(entry.what, entry.by) for entry in resources.audit.read(limit=1)] == [("create_backup", "phone")]


async def test_neither_token_nor_session_is_in_log_audit_log_or_answer(
    stranger: httpx2.AsyncClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session = await log_in(stranger)
    session_id = stranger.cookies[COOKIE]
    answers = [
        await stranger.post(SESSION, json={"token": "not-this-one"}),
        await stranger.post(SESSION, json={"token": "not-this-one", "more": 5}),
        await stranger.post(BACKUP),
        await stranger.post(BACKUP, headers=csrf(session)),
        await stranger.delete(SESSION, headers=csrf(session)),
        await stranger.get("/api/jobs", headers={"Cookie": f"{COOKIE}={session_id}"}),
    ]
    assert [answer.status_code for answer in answers] == [401, 422, 403, 202, 204, 401]
    files = [path.read_bytes() for path in settings.state_dir.rglob("*") if path.is_file()]
    assert files
    assert caplog.records
    text = caplog.text + b"".join(files).decode() + "".join(answer.text for answer in answers)
    for secret in (TOKEN, "not-this-one", session_id, session["csrf_token"]):
        assert secret not in text
