"""The ground itself: a house that works, and a guard that sees what it is there for."""

import pytest
from playwright.sync_api import Browser, Error, Page

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import assert_accessible, assert_fits

pytestmark = pytest.mark.engine


@pytest.fixture
def watched(chromium: Browser, house: House) -> tuple[Page, Guard]:
    guard = Guard(house.address)
    context = chromium.new_context(base_url=house.address)
    guard.watch(context)
    page = context.new_page()
    page.goto("/")
    assert guard.faults == []
    return page, guard


def test_a_house_backs_up_all_its_parts_and_both_volumes(house: House) -> None:
    backup_id = house.backup("all of it")

    parts = house.service.get(f"/api/config/backups/{backup_id}")["parts"]

    assert {part["outcome"] for part in parts} == {"succeeded"}
    assert {part["service"] for part in parts} >= {None, "mail", "calendar"}


def test_a_backup_can_be_held_in_the_middle_of_the_mail(house: House) -> None:
    with house.held_half_way():
        job_id = house.service.start_backup()["job_id"]
        house.wait_until_held()
        assert house.service.job(job_id)["state"] == "running"

    assert house.service.wait_for(job_id)["state"] == "succeeded"


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("() => console.error('it went wrong')", "console: it went wrong"),
        ("() => setTimeout(() => { throw new Error('not caught') }, 0)", "exception: Error: not caught"),
        ("() => void Promise.reject(new Error('not awaited'))", "exception: Error: not awaited"),
        ("() => document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:1/x.png'}))", "console: "),
        ("() => document.body.setAttribute('onclick', 'alert(1)')", "console: "),
        ("() => fetch('api/jobs/nothing')", "answer: GET /api/jobs/nothing 401"),
    ],
)
def test_a_fault_in_a_page_is_seen(watched: tuple[Page, Guard], script: str, fault: str) -> None:
    page, guard = watched

    page.evaluate(script)
    guard.catch_up(page.context)

    assert any(seen.startswith(fault) for seen in guard.faults), guard.faults


def test_a_request_to_another_host_is_seen_where_no_policy_refuses_it(chromium: Browser, house: House) -> None:
    guard = Guard(house.address)
    page = chromium.new_context(base_url=house.address, bypass_csp=True).new_page()
    page.goto("/")
    guard.watch(page.context)

    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("() => fetch('http://127.0.0.1:1/x')")

    assert "another host: http://127.0.0.1:1/x" in guard.faults


def test_what_nobody_can_read_is_seen(page: Page) -> None:
    page.evaluate("() => document.body.append(document.createElement('button'))")

    with pytest.raises(AssertionError, match="button-name"):
        assert_accessible(page)


def test_what_is_wider_than_a_phone_is_seen(page: Page) -> None:
    page.evaluate("() => { document.getElementById('main').style.width = '400px' }")

    with pytest.raises(AssertionError, match="main"):
        assert_fits(page)
