"""What a restore would do is picked, seen and refused on the page before anything changes."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits
from tests.browser.steps import at_restore, button, confirm, expect_step, expect_title, see_plan

pytestmark = pytest.mark.engine

PASSPHRASE = "correct horse battery"
CONFIG = "config/api/cell_config.json"


def restores(house: House) -> int:
    total: int = house.service.get("/api/jobs", params={"kind": "restore"})["total"]
    return total


@contextmanager
def configured(house: House, **changes: Any) -> Iterator[None]:
    """Have another configuration while the block runs; None leaves a key out."""
    path = house.place.cell / CONFIG
    before = path.read_bytes()
    changed = json.loads(before) | changes
    path.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))
    try:
        yield
    finally:
        path.write_bytes(before)


def quick_archive(house: House, folder: Path) -> str:
    """Make an archive as the cell's own `make backup` does, upload it, and give its id."""
    backup_id = f"cell-backup-20261120-{secrets.randbelow(10**6):06}"
    path = folder / f"{backup_id}.tar.gz"
    subprocess.run(
        ["tar", "-czf", path, "config", "data", "docker-compose.yml", "Makefile"], cwd=house.place.cell, check=True
    )
    house.service.ask("PUT", f"/api/config/backups/{backup_id}", expect=201, content=path.read_bytes())
    return backup_id


def test_nothing_begins_before_the_name_is_right(house: House, visit: Visit) -> None:
    page = visit(at=at_restore(house.backup("to be named")))
    see_plan(page)
    button(page, "Go on").click()
    name = page.get_by_role("textbox", name="Type the cell's name, home, to confirm")
    before = restores(house)

    for wrong in ("", "hom", "Home", "home home"):
        name.fill(wrong)
        expect(button(page, "Restore now")).to_be_disabled()
        name.press("Enter")

    name.fill("home")
    expect(button(page, "Restore now")).to_be_enabled()
    button(page, "Back").click()
    expect_step(page, "2. See what would happen")
    button(page, "Go on").click()
    expect(button(page, "Restore now")).to_be_disabled()
    assert restores(house) == before


def test_a_wrong_passphrase_is_said_at_once_and_the_right_one_opens(house: House, visit: Visit, guard: Guard) -> None:
    backup_id = house.backup("locked", passphrase=PASSPHRASE)
    path = f"/api/config/restore/{backup_id}"
    page = visit(at=at_restore(backup_id))
    before = restores(house)
    passphrase = page.get_by_label("Passphrase of this backup")
    guard.expect(422, path, "POST")

    passphrase.fill("wrong")
    with page.expect_response(f"**{path}") as answered:
        button(page, "Show the plan").click()

    expect(page.get_by_role("alert")).to_contain_text(answered.value.json()["detail"])
    expect(passphrase).to_be_focused()
    assert restores(house) == before
    assert_accessible(page)
    passphrase.fill(PASSPHRASE)
    page.get_by_label("Nothing").check()
    see_plan(page)
    confirm(page)
    expect_title(page, "The cell is restored")
    assert PASSPHRASE not in page.content()


def test_laying_over_removes_nothing(house: House, visit: Visit) -> None:
    backup_id = house.backup("to lay over")
    later = house.place.cell / f"config/later-{secrets.token_hex(4)}.conf"
    later.write_text("later")
    page = visit(at=at_restore(backup_id))

    page.get_by_label("Lay the backup over the cell").check()
    see_plan(page)

    expect(page.get_by_text("0 removed", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name="mail/mailboxes")).to_contain_text("what is there besides stays")
    later.unlink()


def test_what_has_no_place_to_go_to_is_named_before_anything_happens(house: House, visit: Visit, shoot: Shoot) -> None:
    backup_id = house.backup("with a calendar")
    with house.without_calendar():
        page = visit(at=at_restore(backup_id))

        see_plan(page)

        missing = page.locator(".box", has_text="This cannot be brought back now.")
        expect(missing).to_contain_text("calendar/collections")
        expect(missing).to_contain_text(f"{house.prefix}radicale")
        shoot(page, "restore-missing")
        assert_accessible(page)
        assert_fits(page)


def test_an_archive_from_elsewhere_can_be_picked_from_once_its_plan_is_known(
    house: House, visit: Visit, tmp_path: Path
) -> None:
    with configured(house, cell_name=None):
        page = visit(at=at_restore(quick_archive(house, tmp_path)))
        expect(page.get_by_text("what is in it is known once it has been read")).to_be_visible()
        expect(page.get_by_label("Only some of it")).to_have_count(0)

        see_plan(page)
        button(page, "Back").click()

        page.get_by_label("Only some of it").check()
        page.get_by_role("checkbox", name="vault").check()
        see_plan(page)
        confirm(page, "restore")
        expect_title(page, "The cell is restored")


def test_a_backup_of_another_cell_says_so(house: House, visit: Visit) -> None:
    backup_id = house.backup("of another cell")
    with configured(house, cell_name="cabin"):
        page = visit(at=at_restore(backup_id))

        see_plan(page)

        expect(page.get_by_text("This is a backup of the cell home. The cell here is called cabin.")).to_be_visible()
        button(page, "Go on").click()
        expect(page.get_by_label("Type the cell's name, cabin, to confirm")).to_be_visible()


def test_a_damaged_backup_is_refused_before_anything_changes(house: House, visit: Visit) -> None:
    whole = (house.place.backups / f"{house.backup('to be cut')}.tar.gz").read_bytes()
    backup_id = f"cut-{secrets.token_hex(4)}"
    house.service.ask("PUT", f"/api/config/backups/{backup_id}", expect=201, content=whole[: len(whole) // 2])
    page = visit(at=at_restore(backup_id))

    button(page, "Show the plan").click()

    expect(page.get_by_role("alert")).to_contain_text("Copy the file again, or use another backup.")
    expect(button(page, "Go on")).to_have_count(0)
    button(page, "Back").click()
    expect_step(page, "1. Pick what comes back")


def test_who_may_only_read_is_told_so(house: House, visit: Visit) -> None:
    page = visit(scope="read", at=at_restore(house.backup("not for everybody")))

    expect(page.get_by_text("Your token may only read, so it cannot restore anything.")).to_be_visible()
    expect(button(page, "Show the plan")).to_have_count(0)
