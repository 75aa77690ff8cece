"""Schedules, made and changed by somebody who knows no cron."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits
from tests.browser.quiet import quiet_house

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with quiet_house() as made:
        made.backup("so that its parts are known", services=[])
        yield made


def make(house: House, name: str, **fields: Any) -> None:
    wanted = {"name": name, "cron": "30 2 * * *", "timezone": "Europe/Berlin", **fields}
    house.service.ask("POST", "/api/schedules", expect=201, json=wanted)


def kept(house: House, name: str) -> dict[str, Any]:
    found: dict[str, Any] = house.service.get(f"/api/schedules/{name}")
    return found


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=f"Schedule {name}")


def told(page: Page, text: str) -> None:
    expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()


def test_a_schedule_is_made_by_simple_choices(visit: Visit, house: House) -> None:
    page = visit(at="#/schedules")
    page.get_by_role("button", name="Make a schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("weekly")
    dialog.get_by_label("How often").select_option("Every week")
    dialog.get_by_label("On", exact=True).select_option("Saturday")
    dialog.get_by_label("At", exact=True).fill("04:15")

    expect(dialog.get_by_label("Cron line")).to_have_value("15 4 * * 6")
    expect(dialog.get_by_text("Every Saturday at 04:15")).to_be_visible()
    dialog.get_by_label("File with the passphrase").fill("/etc/cell-backup/passphrase")
    dialog.get_by_role("button", name="Make it").click()

    expect(dialog).to_be_hidden()
    expect(card(page, "weekly")).to_contain_text("Every Saturday at 04:15")
    expect(card(page, "weekly")).to_contain_text("Sat")
    told(page, "“weekly” is saved")
    made = kept(house, "weekly")
    assert (made["cron"], made["timezone"]) == ("15 4 * * 6", "Europe/Berlin")  # the browser's own
    assert (made["passphrase_file"], made["enabled"]) == ("/etc/cell-backup/passphrase", True)


def test_a_cron_line_that_is_typed_is_said_in_words_and_sets_the_choices(visit: Visit) -> None:
    page = visit(at="#/schedules")
    page.get_by_role("button", name="Make a schedule").click()
    dialog = page.get_by_role("dialog")

    dialog.get_by_label("Cron line").fill("5 6 1 * *")
    expect(dialog.get_by_text("Every month on day 1 at 06:05")).to_be_visible()
    expect(dialog.get_by_label("On day of the month")).to_have_value("1")
    expect(dialog.get_by_label("At", exact=True)).to_have_value("06:05")

    dialog.get_by_label("Cron line").fill("7 * * * *")
    expect(dialog.get_by_label("At minute")).to_have_value("7")

    dialog.get_by_label("Cron line").fill("*/20 1-5 * * mon")
    expect(dialog.get_by_label("How often")).to_have_value("own")
    expect(dialog.get_by_label("At", exact=True)).to_be_hidden()


def test_what_the_service_refuses_is_said_in_the_dialogue(visit: Visit, guard: Guard) -> None:
    page = visit(at="#/schedules")
    guard.expect(422, "/api/schedules", "POST")
    page.get_by_role("button", name="Make a schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("never")
    dialog.get_by_label("Cron line").fill("0 0 31 2 *")

    dialog.get_by_role("button", name="Make it").click()

    expect(dialog.get_by_role("alert")).to_contain_text("cannot be read")


def test_a_change_keeps_what_nobody_touched(visit: Visit, house: House) -> None:
    chosen = {"components": ["vault"], "jitter": 90, "catch_up": False, "overlap": "queue", "label": "short"}
    make(house, "careful", **chosen)
    page = visit(at="#/schedules")
    page.get_by_role("button", name="Change: careful").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("How often").select_option("Every hour")
    dialog.get_by_label("At minute").fill("45")

    dialog.get_by_role("button", name="Save").click()

    expect(card(page, "careful")).to_contain_text("Every hour, at minute 45")
    changed = kept(house, "careful")
    assert {name: changed[name] for name in chosen} == chosen
    assert (changed["cron"], changed["services"]) == ("45 * * * *", None)


def test_only_some_components_can_be_chosen(visit: Visit, house: House) -> None:
    make(house, "parts")
    page = visit(at="#/schedules")
    page.get_by_role("button", name="Change: parts").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("More choices").click()
    dialog.get_by_label("identity").check()
    dialog.get_by_label("web").check()

    dialog.get_by_role("button", name="Save").click()

    expect(card(page, "parts")).to_contain_text("the components identity, web")
    assert kept(house, "parts")["components"] == ["identity", "web"]
    assert kept(house, "parts")["services"] == []


def test_a_schedule_that_is_turned_off_has_no_next_time(visit: Visit, house: House) -> None:
    make(house, "resting")
    page = visit(at="#/schedules")

    page.get_by_role("button", name="Turn off: resting").click()

    expect(card(page, "resting")).to_contain_text("Nothing is done while it is turned off.")
    assert kept(house, "resting")["enabled"] is False
    page.get_by_role("button", name="Turn on: resting").click()
    expect(card(page, "resting").locator("time").first).to_be_visible()
    assert kept(house, "resting")["enabled"] is True


def test_running_a_schedule_leads_to_its_job_and_the_card_says_what_came_of_it(visit: Visit, house: House) -> None:
    make(house, "at-once", services=[])
    page = visit(at="#/schedules")
    expect(card(page, "at-once")).to_contain_text("It has not been its turn yet.")

    page.get_by_role("button", name="Run now: at-once").click()

    expect(page).to_have_url(re.compile(r"#/jobs/[0-9a-f]+"))
    job_id = page.url.rpartition("/")[2]
    assert house.service.wait_for(job_id)["state"] == "succeeded"
    page.get_by_role("link", name="Schedules").click()
    expect(card(page, "at-once")).to_contain_text("succeeded")
    expect(card(page, "at-once")).to_contain_text("by hand")
    expect(card(page, "at-once").get_by_role("link", name="the job")).to_have_attribute("href", f"#/jobs/{job_id}")


def test_a_schedule_is_removed_only_after_a_question(visit: Visit, house: House) -> None:
    make(house, "unwanted")
    page = visit(at="#/schedules")
    page.get_by_role("button", name="Remove: unwanted").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(card(page, "unwanted")).to_be_visible()

    page.get_by_role("button", name="Remove: unwanted").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove it").click()

    expect(card(page, "unwanted")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    house.service.ask("GET", "/api/schedules/unwanted", expect=404)


def test_who_may_only_read_sees_schedules_and_no_buttons(visit: Visit, house: House) -> None:
    make(house, "seen")
    page = visit(scope="read", at="#/schedules")

    expect(card(page, "seen")).to_contain_text("Every day at 02:30")
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)


def test_everybody_can_use_schedules(visit: Visit, house: House, shoot: Shoot) -> None:
    make(house, "nightly", label="nightly", passphrase_file="/etc/cell-backup/passphrase", jitter=600)
    make(house, "check", cron="0 5 * * 0", kind="verify", enabled=False)
    page = visit(at="#/schedules")
    expect(card(page, "nightly")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)
    shoot(page, "schedules")

    page.get_by_role("button", name="Make a schedule").click()
    page.get_by_role("dialog").get_by_text("More choices").click()

    assert_accessible(page)
    assert_fits(page)
    shoot(page, "schedules-make")


def test_a_field_that_is_folded_away_and_wrong_is_shown(visit: Visit) -> None:
    page = visit(at="#/schedules")
    page.get_by_role("button", name="Make a schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("late")
    dialog.get_by_text("More choices").click()
    dialog.get_by_label("Up to so many minutes later").fill("9999")
    dialog.get_by_text("More choices").click()
    expect(dialog.get_by_label("Up to so many minutes later")).to_be_hidden()

    dialog.get_by_role("button", name="Make it").click()

    expect(dialog.get_by_label("Up to so many minutes later")).to_be_focused()
