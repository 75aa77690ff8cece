"""Who gets in, and who is shown the way out."""

import secrets

import pytest
from playwright.sync_api import Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Visit, assert_accessible, assert_fits
from tests.browser.steps import log_in

pytestmark = pytest.mark.engine


def expect_overview(page: Page) -> None:
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()


def test_the_right_token_opens_the_page_and_a_reload_keeps_it_open(visit: Visit, house: House) -> None:
    page = visit(scope=None)

    log_in(page, house.token("admin"))

    expect_overview(page)
    page.reload()
    expect_overview(page)


def test_no_script_can_read_the_session(visit: Visit, house: House) -> None:
    page = visit(scope=None)
    log_in(page, house.token("admin"))
    expect_overview(page)

    (cookie,) = page.context.cookies()

    assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
    kept = page.evaluate("() => document.cookie + JSON.stringify([localStorage, sessionStorage])")
    assert kept == "[{},{}]"
    assert house.token("admin") not in page.content()


def test_a_wrong_token_is_answered_in_the_words_of_the_service_and_can_be_typed_anew(
    visit: Visit, house: House, guard: Guard
) -> None:
    page = visit(scope=None)
    guard.expect(401, "/api/session", "POST")

    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        log_in(page, "not the token")

    problem = answered.value.json()
    expect(page.get_by_role("alert")).to_contain_text(problem["detail"])
    expect(page.get_by_role("alert")).to_contain_text(problem["hint"])
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    log_in(page, house.token("admin"))
    expect_overview(page)


def test_who_logs_out_is_out(page: Page, guard: Guard) -> None:
    expect_overview(page)
    (cookie,) = page.context.cookies()
    guard.expect_refusals()

    page.get_by_role("button", name="Log out").click()

    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    assert page.context.cookies() == []
    session = f"{cookie.get('name')}={cookie.get('value')}"
    assert page.context.request.get("api/jobs", headers={"Cookie": session}).status == 401
    page.reload()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()


def test_whose_token_is_taken_away_is_asked_for_another_and_comes_back_to_where_they_were(
    visit: Visit, house: House, guard: Guard
) -> None:
    name = f"short-lived-{secrets.token_hex(4)}"
    page = visit(scope=None)
    log_in(page, house.new_token(name, "admin"))
    expect_overview(page)
    guard.expect_refusals()
    house.service.ask("DELETE", f"/api/tokens/{name}", expect=204)

    page.evaluate("location.hash = '#/jobs'")  # the page may have seen it before anybody could click

    expect(page.get_by_text("You have been logged out")).to_be_visible()
    log_in(page, house.token("admin"))
    expect(page.get_by_role("heading", level=1, name="Jobs")).to_be_visible()


def test_everybody_can_use_the_login(visit: Visit, guard: Guard) -> None:
    page = visit(scope=None)
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    assert_accessible(page)
    guard.expect(401, "/api/session", "POST")

    log_in(page, "not the token")
    expect(page.get_by_role("alert")).to_be_visible()

    assert_accessible(page)
    assert_fits(page)
