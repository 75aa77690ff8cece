"""Retention: tried, saved and applied in the page; nothing goes that was not shown before."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits
from tests.browser.quiet import quiet_house

pytestmark = pytest.mark.engine

SHOW = "Show what these rules would do"
TRIED = "What these rules would do"
NOW = "What the rules make of the backups now"


@pytest.fixture
def house() -> Iterator[House]:
    with quiet_house(keep_daily=1000) as made:
        yield made


def try_rules(page: Page, **counts: int | None) -> None:
    for label, number in counts.items():
        page.get_by_label(label.capitalize(), exact=True).fill("" if number is None else str(number))
    page.get_by_role("button", name=SHOW).click()
    expect(page.get_by_role("heading", name=TRIED)).to_be_focused()


def test_rules_are_shown_tried_saved_and_applied_one_after_the_other(visit: Visit, house: House) -> None:
    old, middle, new = (house.backup(label, services=[]) for label in ("old", "middle", "new"))
    page = visit(at="#/retention")
    expect(page.get_by_label("Daily", exact=True)).to_have_value("1000")
    expect(page.get_by_text("come from the service's settings")).to_be_visible()

    try_rules(page, daily=None, newest=1)

    expect(page.get_by_text("2 of 3 backups would go")).to_be_visible()
    for backup_id, verdict in {old: "no rule keeps it", middle: "no rule keeps it", new: "the newest"}.items():
        row = page.get_by_role("row").filter(has=page.locator(f'[title="{backup_id}"]'))
        expect(row).to_contain_text(verdict)
    assert house.service.get("/api/retention")["source"] == "settings"
    page.get_by_role("button", name="Save these rules").click()
    expect(page.get_by_role("heading", name=NOW)).to_be_focused()
    assert house.service.get("/api/retention")["policy"]["keep_last"] == 1
    assert len(house.service.get("/api/config/backups")["backups"]) == 3

    page.get_by_role("button", name="Remove 2 now").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove them").click()

    expect(page).to_have_url(re.compile(r"#/jobs/[0-9a-f]+"))
    assert house.service.wait_for(page.url.rpartition("/")[2])["state"] == "succeeded"
    assert [one["backup_id"] for one in house.service.get("/api/config/backups")["backups"]] == [new]


def test_rules_that_changed_after_they_were_tried_cannot_be_saved_unseen(visit: Visit, house: House) -> None:
    house.backup("one", services=[])
    page = visit(at="#/retention")
    try_rules(page, daily=5)
    expect(page.get_by_role("button", name="Save these rules")).to_be_visible()

    page.get_by_label("Daily", exact=True).fill("4")

    expect(page.get_by_role("button", name="Save these rules")).to_have_count(0)
    expect(page.get_by_text("have changed and are not saved")).to_be_visible()


def test_rules_that_keep_nothing_are_refused_in_the_words_of_the_service(visit: Visit, guard: Guard) -> None:
    page = visit(at="#/retention")
    guard.expect(422, "/api/retention/preview", "POST")
    page.get_by_label("Daily", exact=True).fill("0")

    page.get_by_role("button", name=SHOW).click()

    expect(page.get_by_role("alert")).to_contain_text("No rule keeps anything")


def test_an_odd_newest_backup_holds_everything_until_somebody_insists(visit: Visit, house: House, shoot: Shoot) -> None:
    house.backup("old", services=[])
    house.backup("good", services=[])
    odd = house.service.backup(label="without its volumes")
    assert odd["state"] == "partial"
    house.service.ask("PUT", "/api/retention", json={"keep_last": 1})
    page = visit(at="#/retention")
    expect(page.get_by_text("So for now none of them is removed.")).to_be_visible()
    page.get_by_role("button", name="Remove 1 now").click()
    dialog = page.get_by_role("dialog")
    assert_accessible(page)
    assert_fits(page)
    shoot(page, "retention-apply")

    dialog.get_by_role("button", name="Remove them").click()
    expect(dialog).to_be_visible()  # not without the tick
    dialog.get_by_label("Remove them all the same").check()
    dialog.get_by_role("button", name="Remove them").click()

    expect(page).to_have_url(re.compile(r"#/jobs/[0-9a-f]+"))
    assert house.service.wait_for(page.url.rpartition("/")[2])["state"] == "succeeded"
    assert len(house.service.get("/api/config/backups")["backups"]) == 2


def test_the_rules_of_the_settings_can_be_had_back(visit: Visit, house: House) -> None:
    house.service.ask("PUT", "/api/retention", json={"keep_last": 3})
    page = visit(at="#/retention")
    expect(page.get_by_label("Newest", exact=True)).to_have_value("3")
    page.get_by_role("button", name="Back to the service's settings").click()

    page.get_by_role("dialog").get_by_role("button", name="Forget the saved rules").click()

    expect(page.get_by_label("Daily", exact=True)).to_have_value("1000")
    assert house.service.get("/api/retention")["source"] == "settings"


def test_who_may_only_read_sees_the_rules_and_no_buttons(visit: Visit, house: House) -> None:
    house.service.ask("PUT", "/api/retention", json={"keep_last": 3, "keep_weekly": 5})
    page = visit(scope="read", at="#/retention")

    expect(page.get_by_text("the newest 3 backups")).to_be_visible()
    expect(page.get_by_text("the newest backup of each of 5 weeks")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)


def test_everybody_can_use_retention(visit: Visit, house: House, shoot: Shoot) -> None:
    for label in ("one", "two", "three"):
        house.backup(label, services=[])
    page = visit(at="#/retention")
    page.get_by_text("More choices").click()

    try_rules(page, newest=1, daily=None, monthly=2)

    assert_accessible(page)
    assert_fits(page)
    shoot(page, "retention")
