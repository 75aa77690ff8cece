"""Backups, begun and watched on the page."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.house import House
from tests.browser.steps import ask_for_backup, back_up, fresh, row_of

pytestmark = pytest.mark.engine

PASSPHRASE = "seven quiet lamps on the stairs"
SOME_PERCENT = re.compile(r"^[1-9][0-9] percent, Saving the data of the services")


def backup_with(house: House, label: str) -> dict[str, Any]:
    """Give what the service knows of the one backup with this label."""
    (found,) = [one for one in house.service.get("/api/config/backups?limit=1000")["backups"] if one["label"] == label]
    return dict(found)


def test_a_backup_of_everything_takes_two_buttons(page: Page, house: House) -> None:
    label = fresh("plain")

    back_up(page, label)

    expect(page.get_by_text("Everything that was asked for is saved.")).to_be_visible()
    page.get_by_role("link", name="To the backup").click()
    expect(page.get_by_role("heading", level=1, name=label)).to_be_visible()
    made = backup_with(house, label)
    assert (made["outcome"], made["encrypted"]) == ("succeeded", False)
    assert {part["service"] for part in made["parts"]} >= {None, "mail", "calendar"}
    assert house.service.verify(made["backup_id"])["state"] == "succeeded"


def test_a_backup_is_encrypted_under_a_passphrase_that_was_typed_twice_and_is_nowhere_afterwards(
    page: Page, house: House
) -> None:
    label = fresh("encrypted")

    back_up(page, label, passphrase=PASSPHRASE)

    expect(page.get_by_text("Everything that was asked for is saved.")).to_be_visible()
    made = backup_with(house, label)
    assert made["file_name"].endswith(".tar.gz.age")
    assert house.service.verify(made["backup_id"], passphrase=PASSPHRASE)["state"] == "succeeded"
    assert PASSPHRASE not in page.evaluate("() => document.documentElement.outerHTML + location.href")
    assert page.get_by_role("dialog").count() == 0


def test_two_passphrases_that_differ_are_not_sent(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    asked = ask_for_backup(page, fresh("not made"), passphrase=PASSPHRASE)
    again = asked.get_by_label("The same again")
    again.fill(PASSPHRASE.upper())

    asked.get_by_role("button", name="Back up", exact=True).click()

    expect(again).to_be_focused()
    assert again.evaluate("(field) => field.validationMessage") == "The two are not the same."
    expect(asked).to_be_visible()
    assert "POST" not in sent


def test_progress_is_seen_while_it_goes_on_and_the_end_comes_by_itself(page: Page, house: House) -> None:
    bar = page.get_by_role("progressbar")
    with house.held_half_way():
        back_up(page, fresh("watched"))
        expect(page.get_by_text("Saving the data of the services").first).to_be_visible()
        house.wait_until_held()
        expect(bar).to_have_attribute("aria-valuetext", SOME_PERCENT)
        done = row_of(page, "Components and volumes", "calendar/collections")
        expect(done).to_contain_text("succeeded")

    expect(page.get_by_text("Everything that was asked for is saved.")).to_be_visible()
    expect(bar).to_have_count(0)
    expect(row_of(page, "Components and volumes", "mail/mailboxes")).to_contain_text("succeeded")


def test_a_backup_that_is_cancelled_leaves_nothing(page: Page, house: House) -> None:
    label = fresh("cancelled")
    with house.held_half_way():
        back_up(page, label)
        house.wait_until_held()
        page.get_by_role("button", name="Cancel", exact=True).click()
        sure = page.get_by_role("dialog", name="Cancel this job?")
        sure.get_by_role("button", name="Cancel the job").click()
        expect(page.get_by_text("No backup was made, and nothing was left behind.")).to_be_visible()

    assert label not in [one["label"] for one in house.service.get("/api/config/backups?limit=1000")["backups"]]


def test_what_of_a_backup_failed_is_named_with_its_reason_on_the_job_and_at_a_glance(page: Page, house: House) -> None:
    with house.without_calendar():
        back_up(page, fresh("without the calendar"))
        expect(page.get_by_text("1 part of ")).to_be_visible()

    (job,) = house.service.get("/api/jobs?kind=backup&limit=1")["jobs"]
    (error,) = [part["error"] for part in job["components"] if part["error"]]
    row = row_of(page, "Components and volumes", "calendar/collections")
    expect(row).to_contain_text("failed")
    expect(row).to_contain_text(error["message"])
    expect(row).to_contain_text(error["hint"])
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("main")).to_contain_text(error["message"])
    expect(page.get_by_role("main")).to_contain_text(error["hint"])


def test_a_backup_that_saved_nothing_says_why(page: Page, house: House) -> None:
    house.backup("there is one to choose parts from")
    label = fresh("calendar only")
    with house.without_calendar():
        asked = ask_for_backup(page, label)
        asked.get_by_text("Only a part of the cell").click()
        asked.get_by_label("calendar").check()
        asked.get_by_role("button", name="Back up", exact=True).click()
        expect(page.get_by_text("No backup was made, and nothing was left behind.")).to_be_visible()

    (job,) = house.service.get("/api/jobs?kind=backup&limit=1")["jobs"]
    assert job["state"] == "failed"
    expect(page.get_by_role("alert")).to_contain_text(job["error"]["message"])
    expect(page.get_by_role("alert")).to_contain_text(job["error"]["hint"])
