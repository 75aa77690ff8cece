"""The ground of the browser tests: a real service on a real engine, seen through a real, headless Chromium.

- `house` is the service that all tests of this folder share: a sample cell with the services `mail` and `calendar`,
  whose containers run and have data. It is full of what other tests made: make what you look for, and label it.
- `page` is the admin page, logged in as admin; `visit(...)` opens more: `scope`, `phone`, `dark`, `at` an address.
- `guard` fails a test whose pages had a console error, an exception, a refused policy, a request to another host, or an
  answer of 4xx or 5xx; what a test provokes on purpose it announces before, by `guard.expect(...)`.
- `assert_accessible(page)` and `assert_fits(page)` of `looks.py` hold what is shown against axe and against 360 pixels.

Tests here are plain functions, never `async`: the driver's loop runs in their thread from the first to the last.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.guarding import Guard
from tests.browser.house import House, running_house
from tests.browser.looks import Shoot, Visit, screen_of, shots_of
from tests.support.debian import needed
from tests.support.docker_engine import Images

_LIMIT = 15_000.0


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Run one Chromium; skip where none is installed."""
    program = shutil.which("chromium")
    needed(None if program else "there is no chromium")
    expect.set_options(timeout=_LIMIT)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def house(docker_host: str, images: Images) -> Iterator[House]:
    """Give the service that all tests of this folder share."""
    with running_house(docker_host, images) as made:
        yield made


@pytest.fixture
def guard(house: House) -> Iterator[Guard]:
    """Give what watches the pages of this test; it fails the test for what went wrong in them."""
    made = Guard(house.address)
    yield made
    assert made.faults == []


@pytest.fixture
def visit(chromium: Browser, house: House, guard: Guard) -> Iterator[Visit]:
    """Give what opens the admin page in a browser that has never seen it, with a session of its own."""
    contexts: list[BrowserContext] = []

    def open_page(*, scope: str | None = "admin", phone: bool = False, dark: bool = False, at: str = "#/") -> Page:
        context = chromium.new_context(base_url=house.address, **screen_of(phone=phone, dark=dark))
        contexts.append(context)
        context.set_default_timeout(_LIMIT)
        guard.watch(context)
        if scope is not None:
            answer = context.request.post("api/session", data={"token": house.token(scope)})
            assert answer.ok, answer.text()
        page = context.new_page()
        page.goto(f"/{at}")
        guard.catch_up(context)
        while guard.forgets_network_changes():  # Chromium gives up what it was loading when the engine adds a network
            page.reload()
            guard.catch_up(context)
        return page

    yield open_page
    for context in contexts:
        guard.catch_up(context)
        context.close()


@pytest.fixture
def page(visit: Visit) -> Page:
    """Give the admin page, logged in as admin."""
    return visit()


@pytest.fixture
def shoot() -> Shoot:
    """Give what takes a page's pictures into the folder that CELL_BACKUP_SCREENSHOTS names; nothing without one."""
    folder = os.environ.get("CELL_BACKUP_SCREENSHOTS")
    return shots_of(Path(folder) if folder else None)
