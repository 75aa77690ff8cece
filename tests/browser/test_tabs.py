"""Two tabs of one browser share its cookie: what one of them does to the session, the other goes along with."""

import json
import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Visit
from tests.browser.steps import expect_heading, log_in

pytestmark = pytest.mark.engine

TOKENS = "/api/tokens"
NOT_MINE = {"status": 403, "code": "csrf_failed", "detail": "Not from this page.", "hint": "Log in."}


def at_access(visit: Visit) -> Page:
    """Open a view that asks for nothing by itself, and wait until it is all there."""
    page = visit(at="#/access")
    expect(page.get_by_role("button", name="Make a token")).to_be_visible()
    return page


def log_in_beside(page: Page, token: str) -> None:
    """Log out and in again in a second tab."""
    other = page.context.new_page()
    other.goto("/#/upload")
    other.get_by_role("button", name="Log out").click()
    log_in(other, token)
    expect_heading(other, "Upload a backup")


def make_token(page: Page, name: str) -> None:
    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Make it").click()


def asked_for_tokens(page: Page) -> list[Request]:
    """Give the list that each request for a new token is added to."""
    asked: list[Request] = []
    page.on("request", lambda one: asked.append(one) if one.method == "POST" and one.url.endswith(TOKENS) else None)
    return asked


def test_what_is_asked_for_after_a_login_in_another_tab_is_done(visit: Visit, house: House, guard: Guard) -> None:
    page = at_access(visit)
    expect(page.locator(".who")).to_contain_text("browser-admin")
    asked = asked_for_tokens(page)
    name = f"made-{secrets.token_hex(4)}"
    other = f"other-{secrets.token_hex(4)}"
    log_in_beside(page, house.new_token(other, "admin"))
    guard.expect(403, TOKENS, "POST")

    make_token(page, name)

    expect(page.get_by_role("dialog").get_by_label(f"The token “{name}”")).to_be_visible()
    first, second = (one.post_data for one in asked)
    assert json.loads(first or "") == {"name": name, "scope": "read"}
    assert second == first
    expect(page.locator(".who")).to_contain_text(other)
    page.get_by_role("button", name="I have it").click()
    page.get_by_role("button", name=f"Remove: {name}").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("button", name=f"Remove: {name}")).to_have_count(0)


def test_whoever_may_less_in_the_other_tab_is_told_so_here(visit: Visit, house: House, guard: Guard) -> None:
    page = at_access(visit)
    log_in_beside(page, house.token("read"))
    guard.expect(403, TOKENS, "POST")

    make_token(page, "never-made")

    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("needs a token with the scope 'admin'")
    expect(page.locator(".who")).to_contain_text("may only look")


def test_what_is_refused_again_is_not_asked_for_a_third_time(visit: Visit, guard: Guard) -> None:
    page = at_access(visit)
    asked = asked_for_tokens(page)
    guard.expect(403, TOKENS, "POST")
    page.route(f"**{TOKENS}", lambda route: route.fulfill(status=403, json=NOT_MINE))

    make_token(page, "refused")

    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Not from this page.")
    assert len(asked) == 2


def test_where_no_session_is_left_one_is_asked_to_log_in(visit: Visit, guard: Guard) -> None:
    page = at_access(visit)
    guard.expect(403, TOKENS, "POST")
    page.route(f"**{TOKENS}", lambda route: route.fulfill(status=403, json=NOT_MINE))
    page.context.clear_cookies()

    make_token(page, "nobodys")

    expect(page.get_by_text("You have been logged out")).to_be_visible()
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_file_is_sent_once_after_a_login_in_another_tab(visit: Visit, house: House, tmp_path: Path) -> None:
    kept = house.place.backups / f"{house.backup('to be sent')}.tar.gz"
    path = tmp_path / f"sent-{secrets.token_hex(4)}.tar.gz"
    path.write_bytes(kept.read_bytes())
    page = visit(at="#/upload")
    sent: list[Request] = []
    page.on("request", lambda one: sent.append(one) if one.method == "PUT" else None)
    log_in_beside(page, house.token("admin"))

    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Upload", exact=True).click()

    expect(page.get_by_role("heading", name="The backup has arrived")).to_be_visible()
    assert len(sent) == 1
    assert (house.place.backups / path.name).read_bytes() == path.read_bytes()
