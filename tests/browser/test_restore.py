"""A cell is brought back through the page: picked, planned, confirmed by its name."""

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits
from tests.support.docker_engine import docker

pytestmark = pytest.mark.engine

PASSPHRASE = "correct horse battery"
CONFIG = "config/api/cell_config.json"


def at_restore(backup_id: str) -> str:
    return f"#/backups/{backup_id}/restore"


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def expect_step(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", level=2, name=name)).to_be_focused()
    now = page.get_by_role("list", name="Steps").locator("[aria-current=step]")
    expect(now).to_contain_text(name.partition(" ")[2])


def see_plan(page: Page) -> None:
    button(page, "Show the plan").click()
    expect(button(page, "Go on")).to_be_visible()
    expect_step(page, "2. See what would happen")


def confirm(page: Page, name: str = "home") -> None:
    button(page, "Go on").click()
    expect_step(page, "3. Confirm and restore")
    page.get_by_role("textbox", name=re.compile(r"^Type the ")).fill(name)
    button(page, "Restore now").click()


def expect_title(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=2, name=text, exact=True)).to_be_visible(timeout=60_000)


def restores(house: House) -> int:
    total: int = house.service.get("/api/jobs", params={"kind": "restore"})["total"]
    return total


def in_mail(house: House, script: str) -> str:
    return docker("exec", f"{house.prefix}mail", "sh", "-c", script).decode()


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


@contextmanager
def volumes_held(house: House) -> Iterator[None]:
    """Let restores stand still in the middle of the data while the block runs; they go on as soon as it is left."""
    in_mail(house, "touch /tmp/no-extracting && mv /bin/tar /bin/tar-before")
    script = '#!/bin/sh\ncase "$*" in *--extract*) while [ -e /tmp/no-extracting ]; do sleep 0.05; done;; esac\n'
    wait = f'{script}exec /bin/tar-before "$@"\n'
    docker("exec", "-i", f"{house.prefix}mail", "sh", "-c", "cat >/bin/tar && chmod 755 /bin/tar", data=wait.encode())
    try:
        yield
    finally:
        in_mail(house, "rm -f /tmp/no-extracting")


def quick_archive(house: House, folder: Path) -> str:
    """Make an archive as the cell's own `make backup` does, upload it, and give its id."""
    backup_id = f"cell-backup-20261120-{secrets.randbelow(10**6):06}"
    path = folder / f"{backup_id}.tar.gz"
    subprocess.run(
        ["tar", "-czf", path, "config", "data", "docker-compose.yml", "Makefile"], cwd=house.place.cell, check=True
    )
    house.service.ask("PUT", f"/api/config/backups/{backup_id}", expect=201, content=path.read_bytes())
    return backup_id


def test_a_file_and_the_data_of_a_service_come_back_and_what_came_later_goes(
    house: House, visit: Visit, shoot: Shoot
) -> None:
    later = house.place.cell / f"config/later-{secrets.token_hex(4)}.conf"
    changed = house.place.cell / "data/vault/vault.key"
    key = changed.read_bytes()
    in_mail(house, "echo Dear Ada >/var/mail/letter")
    backup_id = house.backup("before it went wrong")
    changed.write_bytes(b"broken")
    later.write_text("later")
    in_mail(house, "echo lost >/var/mail/letter && echo later >/var/mail/later")
    page = visit(at=at_restore(backup_id))
    expect_step(page, "1. Pick what comes back")
    shoot(page, "restore-pick")

    see_plan(page)

    removed = page.locator(".box", has_text="removed. What is removed is saved first.")
    expect(removed).to_contain_text(later.relative_to(house.place.cell).as_posix())
    page.get_by_text("vault", exact=True).click()
    expect(page.get_by_role("listitem").filter(has_text="data/vault/vault.key")).to_contain_text("6 bytes → ")
    goes_to = page.get_by_role("row", name="mail/mailboxes")
    expect(goes_to).to_contain_text(f"{house.prefix}mail, running")
    shoot(page, "restore-plan")
    assert (changed.read_bytes(), later.exists()) == (b"broken", True)

    confirm(page)

    expect_title(page, "The cell is restored")
    shoot(page, "restore-done")
    expect(page.get_by_text("Run 'make restart'")).to_be_visible()
    steps = page.get_by_role("listitem").filter(has_text=re.compile("^done: "))
    expect(steps.filter(has_text="Restoring the data of the services")).to_be_visible()
    assert (changed.read_bytes(), later.exists()) == (key, False)
    assert in_mail(house, "cat /var/mail/letter; ls /var/mail").split("\n")[0] == "Dear Ada"
    assert "later" not in in_mail(house, "ls /var/mail").split()
    page.get_by_text("What was replaced is kept").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


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


def test_only_what_is_picked_comes_back(house: House, visit: Visit) -> None:
    cell = house.place.cell
    backup_id = house.backup("in part")
    vault, zone = cell / "data/vault/vault.key", next(cell.glob("data/dns/*.zone"))
    key, other = vault.read_bytes(), zone.read_bytes()
    vault.write_bytes(b"broken")
    zone.write_bytes(b"kept")
    page = visit(at=at_restore(backup_id))

    page.get_by_label("Only some of it").check()
    button(page, "Show the plan").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing is chosen yet.")
    page.get_by_role("checkbox", name="vault").check()
    see_plan(page)
    expect(page.get_by_text("No data of a service comes back.")).to_be_visible()
    button(page, "Back").click()
    expect(page.get_by_role("checkbox", name="vault")).to_be_checked()
    see_plan(page)
    confirm(page)

    expect_title(page, "The cell is restored")
    assert (vault.read_bytes(), zone.read_bytes()) == (key, b"kept")
    zone.write_bytes(other)


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


def test_a_restore_that_is_cancelled_in_the_middle_puts_everything_back(
    house: House, visit: Visit, shoot: Shoot
) -> None:
    changed = house.place.cell / "data/vault/vault.key"
    key = changed.read_bytes()
    backup_id = house.backup("to be cancelled")
    changed.write_bytes(b"as it was")
    in_mail(house, "echo as it was >/var/mail/letter")
    page = visit(at=at_restore(backup_id))
    see_plan(page)
    with volumes_held(house):
        confirm(page)
        under_way = page.get_by_role("listitem").filter(has_text="under way: Restoring the data of the services")
        expect(under_way).to_be_visible(timeout=60_000)
        assert changed.read_bytes() == key
        shoot(page, "restore-running")
        assert_accessible(page)
        assert_fits(page)

        button(page, "Cancel").click()
        dialogue = page.get_by_role("dialog", name="Cancel the restore?")
        assert_accessible(page)
        dialogue.get_by_role("button", name="Go on restoring").click()
        button(page, "Cancel").click()
        dialogue.get_by_role("button", name="Cancel the restore").click()
        expect(button(page, "Cancel")).to_be_hidden()

    expect_title(page, "The restore was cancelled")
    expect(page.get_by_text("Everything was put back: the cell is as it was before.")).to_be_visible()
    assert changed.read_bytes() == b"as it was"
    assert in_mail(house, "cat /var/mail/letter") == "as it was\n"
    expect(page.get_by_text("The job was cancelled.")).to_have_count(0)
    shoot(page, "restore-cancelled")
    assert_accessible(page)
    changed.write_bytes(key)


def test_who_may_only_read_is_told_so(house: House, visit: Visit) -> None:
    page = visit(scope="read", at=at_restore(house.backup("not for everybody")))

    expect(page.get_by_text("Your token may only read, so it cannot restore anything.")).to_be_visible()
    expect(button(page, "Show the plan")).to_have_count(0)


def test_everybody_can_use_every_step(house: House, visit: Visit) -> None:
    page = visit(at=at_restore(house.backup("for everybody", passphrase=PASSPHRASE)))
    page.get_by_label("Only some of it").check()
    page.get_by_text("More", exact=True).click()
    expect(page.get_by_label("Caddyfile, Corefile and routing rules")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)

    page.get_by_label("Everything that the backup holds").check()
    page.get_by_label("Passphrase of this backup").fill(PASSPHRASE)
    see_plan(page)
    assert_accessible(page)
    assert_fits(page)

    button(page, "Go on").click()
    assert_accessible(page)
    assert_fits(page)

    page.get_by_label(re.compile("^Type the cell's name")).fill("home")
    page.keyboard.press("Enter")
    expect_title(page, "The cell is restored")
    assert_accessible(page)
    assert_fits(page)
