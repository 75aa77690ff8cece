"""The page behind a proxy that speaks TLS and keeps it below a path of its own."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from app.jobs.embedded import die_with_parent
from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.steps import back_up, expect_heading, fresh
from tests.support.debian import needed
from tests.support.redis_server import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

BELOW = "/cell/backup"


@pytest.fixture
def front(house: House, tmp_path: Path) -> Iterator[str]:
    """Run a Caddy in front of the service, and give its address."""
    caddy = shutil.which("caddy")
    needed(None if caddy else "there is no caddy")
    address = f"https://localhost:{free_port()}"
    upstream = urlsplit(house.address).netloc
    routes = f"\tbind 127.0.0.1\n\ttls internal\n\thandle_path {BELOW}/* {{\n\t\treverse_proxy {upstream}\n\t}}\n"
    options = "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n"
    config = tmp_path / "Caddyfile"
    config.write_text(f"{options}{address} {{\n{routes}}}\n")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(caddy), "run", "--adapter=caddyfile", f"--config={config}"],
            env={"HOME": str(tmp_path)},
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(),  # noqa: PLW1509  # a test run that is killed leaves no proxy behind
        )
    try:
        eventually(lambda: _answers(address), what="caddy is there")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}{BELOW}/health", verify=False).is_success
    except httpx2.TransportError:
        return False


def test_the_page_works_below_a_path_and_by_tls(
    chromium: Browser, house: House, front: str, guard: Guard, tmp_path: Path
) -> None:
    guard.address = front
    guard.expect(401, f"{BELOW}/api/session")
    context = chromium.new_context(ignore_https_errors=True)
    guard.watch(context)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page = context.new_page()
    page.goto(f"{front}{BELOW}/")
    label = fresh("behind a proxy")

    page.get_by_label("Token", exact=True).fill(house.token("admin"))
    page.get_by_role("button", name="Log in").click()
    expect_heading(page, "Overview")
    with house.held_half_way():
        back_up(page, label)
        house.wait_until_held()
        expect(page.get_by_text("calendar/collections")).to_be_visible()
    expect(page.get_by_text("Everything that was asked for is saved.")).to_be_visible()
    page.get_by_role("link", name="To the backup").click()
    expect_heading(page, label)
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download").click()
    begun.value.save_as(tmp_path / "kept")
    page.reload()
    expect_heading(page, label)

    assert [path for path in asked if not path.startswith(f"{BELOW}/")] == []
    assert [cookie.get("secure") for cookie in context.cookies()] == [True]
    assert (tmp_path / "kept").stat().st_size == house.service.get("/api/config/backups?limit=1")["backups"][0]["size"]
    context.close()
