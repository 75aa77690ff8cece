"""The list of backups, and what can be done with one."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.steps import fresh, go_to_backup, row_of

pytestmark = pytest.mark.engine

PASSPHRASE = "seven quiet lamps on the stairs"


def test_a_backup_is_found_by_its_label(page: Page, house: House) -> None:
    wanted, other = fresh("before the update"), fresh("after the update")
    house.backup(wanted, components=["vault"], services=[])
    house.backup(other, components=["vault"], services=[])
    page.get_by_role("link", name="Backups", exact=True).click()
    listed = page.get_by_role("table", name="Backups")
    expect(listed.get_by_role("link", name=other)).to_be_visible()

    page.get_by_label("Search").fill(wanted.upper())

    expect(listed.get_by_role("link", name=wanted)).to_be_visible()
    expect(listed.get_by_role("link")).to_have_count(1)
    expect(page.get_by_text("1 backup found")).to_be_visible()
    page.get_by_label("Search").fill("nothing is called that")
    expect(page.get_by_text("No backup is like that.")).to_be_visible()


def test_the_sizes_are_drawn_and_said(page: Page, house: House) -> None:
    for label in ("small", "small too"):
        house.backup(label, components=["vault"], services=[])

    page.get_by_role("link", name="Backups", exact=True).click()

    chart = page.get_by_role("img", name="Sizes of the backups")
    expect(chart).to_be_visible()
    expect(page.get_by_role("figure")).to_contain_text("oldest on the left")
    drawn = min(house.service.get("/api/config/backups?limit=1000")["total"], 40)
    expect(chart.locator("rect")).to_have_count(drawn)


def test_a_list_that_is_open_shows_a_backup_that_somebody_else_makes(page: Page, house: House) -> None:
    page.clock.install()
    page.get_by_role("link", name="Backups", exact=True).click()
    expect(page.get_by_label("Search")).to_be_visible()
    label = fresh("by somebody else")
    house.backup(label, components=["vault"], services=[])

    page.clock.run_for(31_000)

    expect(page.get_by_role("link", name=label)).to_be_visible()


def test_a_backup_is_deleted_only_after_a_second_word(page: Page, house: House) -> None:
    label = fresh("to be deleted")
    backup_id = house.backup(label, components=["vault"], services=[])
    file = house.place.backups / f"{backup_id}.tar.gz"
    go_to_backup(page, label)
    delete = page.get_by_role("button", name="Delete")
    sure = page.get_by_role("dialog", name="Delete this backup?")

    delete.click()
    expect(sure).to_contain_text(backup_id)
    page.keyboard.press("Escape")

    expect(sure).to_have_count(0)
    expect(delete).to_be_focused()
    assert file.exists()

    delete.click()
    sure.get_by_role("button", name="Delete it").click()

    expect(page.get_by_role("heading", level=1, name="Backups")).to_be_visible()
    expect(page.get_by_text(f"“{label}” was deleted.")).to_be_visible()
    expect(page.get_by_role("link", name=label)).to_have_count(0)
    assert not file.exists()


def test_a_download_is_the_file(page: Page, house: House, tmp_path: Path) -> None:
    label = fresh("to be kept elsewhere")
    backup_id = house.backup(label)
    go_to_backup(page, label)

    with page.expect_download() as begun:
        page.get_by_role("link", name="Download").click()

    assert begun.value.suggested_filename == f"{backup_id}.tar.gz"
    begun.value.save_as(tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes() == (house.place.backups / f"{backup_id}.tar.gz").read_bytes()


def test_a_backup_is_verified_and_says_so_from_then_on(page: Page, house: House) -> None:
    label = fresh("to be verified")
    house.backup(label)
    go_to_backup(page, label)
    expect(page.get_by_text("not yet")).to_be_visible()

    page.get_by_role("button", name="Verify").click()

    expect(page.get_by_text("The backup is whole")).to_be_visible()
    page.get_by_role("link", name="Backups", exact=True).click()
    expect(row_of(page, "Backups", label)).to_contain_text("verified")


def test_an_encrypted_backup_is_verified_with_its_passphrase_and_no_other(
    page: Page, house: House, guard: Guard
) -> None:
    label = fresh("encrypted")
    backup_id = house.backup(label, passphrase=PASSPHRASE)
    guard.expect(422, f"/api/config/backups/{backup_id}/verify", "POST")
    go_to_backup(page, label)
    page.get_by_role("button", name="Verify").click()
    asked = page.get_by_role("dialog", name="Verify this backup")
    passphrase = asked.get_by_label("Passphrase", exact=True)

    passphrase.fill("another one")
    with page.expect_response(lambda answer: answer.status == 422) as answered:
        asked.get_by_role("button", name="Verify").click()
    expect(asked.get_by_role("alert")).to_contain_text(answered.value.json()["detail"])

    passphrase.fill(PASSPHRASE)
    asked.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("The backup is whole")).to_be_visible()


@pytest.mark.parametrize("secret", [{}, {"passphrase": PASSPHRASE}], ids=["plain", "encrypted"])
def test_the_files_of_a_backup_are_shown_as_a_tree(page: Page, house: House, secret: dict[str, str]) -> None:
    label = fresh("to be looked into")
    house.backup(label, **secret)
    go_to_backup(page, label)

    page.get_by_role("button", name="Show the files in it").click()
    if secret:
        page.get_by_label("Passphrase of this backup").fill(PASSPHRASE)
        page.get_by_role("button", name="Show the contents").click()
    tree = page.get_by_role("tree", name="Files in this backup")
    for name in ("services", "mail", "mailboxes"):
        tree.get_by_role("treeitem", name=f"{name}, folder").click()

    expect(tree.get_by_role("treeitem", name="home.cell, folder")).to_be_visible()
