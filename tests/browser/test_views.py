"""Every view and every dialogue: for everybody's eyes, ears and hands, light and dark, on a desktop and on a phone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.house import House
from tests.browser.looks import Visit, assert_accessible, assert_fits
from tests.browser.steps import ask_for_backup, back_up, expect_heading, fresh, go_to_backup

pytestmark = pytest.mark.engine

PASSPHRASE = "seven quiet lamps on the stairs"
VIEWS = {
    "#/": "Overview",
    "#/backups": "Backups",
    "#/upload": "Upload",
    "#/jobs": "Jobs",
    "#/schedules": "Schedules",
    "#/retention": "Retention",
    "#/webhooks": "Webhooks",
    "#/access": "Access",
    "#/no/such/view": "Nothing here",
}


def assert_good(page: Page) -> None:
    """Expect that what the page shows now is accessible and fits, once it has stopped to load."""
    page.wait_for_load_state("networkidle")
    assert_accessible(page)
    assert_fits(page)


@pytest.mark.parametrize("address", VIEWS)
def test_everybody_can_use_a_view(visit: Visit, house: House, address: str) -> None:
    house.backup("a" * 150, components=["vault"], services=[])
    page = visit(at=address)

    expect_heading(page, VIEWS[address])

    assert_good(page)
    assert page.title() == f"{VIEWS[address]} · cell-backup"
    expect(page.get_by_role("heading", level=1)).to_have_count(1)


@pytest.mark.parametrize("address", ["#/", "#/backups", "#/jobs"])
def test_everybody_can_read_what_a_visitor_is_shown(visit: Visit, address: str) -> None:
    page = visit(scope="read", at=address)
    expect_heading(page, VIEWS[address])
    assert_good(page)


def new_backup(page: Page, _: House) -> None:
    ask_for_backup(page, "before the update", passphrase=PASSPHRASE).get_by_text("Only a part of the cell").click()


def differing_passphrases(page: Page, _: House) -> None:
    asked = ask_for_backup(page, "before the update", passphrase=PASSPHRASE)
    asked.get_by_label("The same again").fill("another")
    asked.get_by_role("button", name="Back up", exact=True).click()


def delete(page: Page, house: House) -> None:
    label = fresh("to be deleted")
    house.backup(label, components=["vault"], services=[])
    go_to_backup(page, label)
    page.get_by_role("button", name="Delete").click()


def passphrase_of_one(page: Page, house: House) -> None:
    label = fresh("encrypted")
    house.backup(label, components=["vault"], services=[], passphrase=PASSPHRASE)
    go_to_backup(page, label)
    page.get_by_role("button", name="Verify").click()


@pytest.mark.parametrize("opened", [new_backup, differing_passphrases, delete, passphrase_of_one])
def test_everybody_can_use_a_dialogue(page: Page, house: House, opened: Callable[[Page, House], None]) -> None:
    house.backup("there is one to choose parts from")

    opened(page, house)

    expect(page.get_by_role("dialog")).to_be_visible()
    assert_good(page)


def test_everybody_can_use_a_running_job_and_the_question_whether_to_cancel_it(page: Page, house: House) -> None:
    with house.held_half_way():
        back_up(page, fresh("watched"))
        house.wait_until_held()
        expect(page.get_by_role("progressbar")).to_be_visible()
        assert_accessible(page)
        assert_fits(page)
        page.get_by_role("link", name="Overview").click()
        expect(page.get_by_role("progressbar")).to_be_visible()
        assert_accessible(page)
        assert_fits(page)
        page.get_by_role("link", name="Backup", exact=True).click()
        page.get_by_role("button", name="Cancel", exact=True).click()
        assert_accessible(page)
        assert_fits(page)
        page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
        expect(page.get_by_text("No backup was made")).to_be_visible()
    assert_good(page)


def test_everybody_can_read_a_job_that_failed_in_part_and_what_came_of_it(page: Page, house: House) -> None:
    label = fresh("partial")
    with house.without_calendar():
        back_up(page, label)
        expect(page.get_by_text("1 part of ")).to_be_visible()
    assert_good(page)

    go_to_backup(page, label)

    assert_good(page)
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="The last backup lacks something")).to_be_visible()
    assert_good(page)


def test_everybody_can_look_into_a_backup(page: Page, house: House) -> None:
    label = fresh("to be looked into")
    house.backup(label)
    go_to_backup(page, label)

    page.get_by_role("button", name="Show the files in it").click()
    page.get_by_role("treeitem", name="data, folder").click()

    expect(page.get_by_role("treeitem", name="vault, folder")).to_be_visible()
    assert_good(page)
