"""The admin page as it is served: by whom, with which headers, and whether it is served at all."""

import re
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

import app.web
from app.api.resources import Resources
from app.errors import Code
from app.main import create_app
from app.processes import banner
from app.settings import Settings
from tests.api.conftest import TOKEN, assert_problem, client_of

UI = Path(app.web.__file__).with_name("ui")
FILES = sorted(str(path.relative_to(UI)) for path in UI.rglob("*") if path.is_file())
KINDS = {
    ".js": {"text/javascript", "application/javascript"},
    ".css": {"text/css"},
    ".svg": {"image/svg+xml"},
}
LOADED = re.compile(r"""(?:src|href)\s*=\s*["']([^"'#]+)["']""")


async def test_the_page_may_load_from_this_service_alone_and_run_nothing_of_its_own(
    stranger: httpx2.AsyncClient,
) -> None:
    page = await stranger.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    rules = dict(rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


async def test_all_the_page_names_is_served_also_below_a_path_of_a_proxy(stranger: httpx2.AsyncClient) -> None:
    addresses = LOADED.findall((await stranger.get("/")).text)
    assert len(addresses) >= 2
    for address in addresses:
        assert not re.match(r"/|\w+:", address), address
        assert (await stranger.get(f"/{address}")).status_code == 200, address


@pytest.mark.parametrize("name", FILES)
async def test_what_the_page_loads_has_its_kind_and_is_asked_for_anew(stranger: httpx2.AsyncClient, name: str) -> None:
    response = await stranger.get(f"/ui/{name}")
    assert response.status_code == 200
    assert response.content == (UI / name).read_bytes()
    assert response.headers["content-type"].partition(";")[0] in KINDS[Path(name).suffix]
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"
    again = await stranger.get(f"/ui/{name}", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/ui", "/ui/", "/ui/nothing.js", "/ui/../index.html", "/ui/%2e%2e/docs.html"])
async def test_nothing_else_is_served_beside_it(stranger: httpx2.AsyncClient, path: str) -> None:
    assert_problem(await stranger.get(path), 404, Code.NOT_FOUND)


async def test_a_page_that_is_switched_off_is_not_there_and_nobody_can_log_in(resources: Resources) -> None:
    settings = resources.settings.model_copy(update={"page": False})
    async with client_of(create_app(settings, resources=replace(resources, settings=settings))) as stranger:
        for path in ("/", *(f"/ui/{name}" for name in FILES), "/api/session"):
            assert_problem(await stranger.get(path), 404, Code.NOT_FOUND)
        assert_problem(await stranger.post("/api/session", json={"token": TOKEN}), 404, Code.NOT_FOUND)
        assert (await stranger.get("/docs")).status_code == 200


@pytest.mark.parametrize(
    ("page", "docs", "named"),
    [
        (True, True, "page: http://cell/, API page: http://cell/docs, token: "),
        (True, False, "(page: http://cell/, token: "),
        (False, False, "(token: "),
    ],
)
def test_the_first_line_says_where_the_page_is(settings: Settings, *, page: bool, docs: bool, named: str) -> None:
    assert named in banner("http://cell", settings.model_copy(update={"page": page, "docs": docs}))
