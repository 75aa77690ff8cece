"""A cell is brought back through the page, up to how it ended."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits
from tests.browser.steps import at_restore, button, confirm, expect_step, expect_title, see_plan
from tests.support.docker_engine import docker

pytestmark = pytest.mark.engine

PASSPHRASE = "correct horse battery"


def stage(page: Page, words: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=words)


@contextmanager
def volumes_held(house: House) -> Iterator[None]:
    """Let restores stand still in the middle of the data while the block runs; they go on as soon as it is left."""
    house.in_mail("touch /tmp/no-extracting; [ -e /bin/tar-before ] || mv /bin/tar /bin/tar-before")
    script = '#!/bin/sh\ncase "$*" in *--extract*) while [ -e /tmp/no-extracting ]; do sleep 0.05; done;; esac\n'
    wait = f'{script}exec /bin/tar-before "$@"\n'
    docker("exec", "-i", f"{house.prefix}mail", "sh", "-c", "cat >/bin/tar && chmod 755 /bin/tar", data=wait.encode())
    try:
        yield
    finally:
        house.in_mail("rm -f /tmp/no-extracting")


def test_a_file_and_the_data_of_a_service_come_back_and_what_came_later_goes(
    house: House, visit: Visit, shoot: Shoot
) -> None:
    later = house.place.cell / f"config/later-{secrets.token_hex(4)}.conf"
    changed = house.place.cell / "data/vault/vault.key"
    key = changed.read_bytes()
    house.in_mail("echo Dear Ada >/var/mail/letter")
    backup_id = house.backup("before it went wrong")
    changed.write_bytes(b"broken")
    later.write_text("later")
    house.in_mail("echo lost >/var/mail/letter && echo later >/var/mail/later")
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
    assert house.in_mail("cat /var/mail/letter; ls /var/mail").split("\n")[0] == "Dear Ada"
    assert "later" not in house.in_mail("ls /var/mail").split()
    page.get_by_text("What was replaced is kept").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


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


def test_a_restore_that_is_cancelled_in_the_middle_puts_everything_back(
    house: House, visit: Visit, shoot: Shoot
) -> None:
    changed = house.place.cell / "data/vault/vault.key"
    key = changed.read_bytes()
    backup_id = house.backup("to be cancelled")
    changed.write_bytes(b"as it was")
    house.in_mail("echo as it was >/var/mail/letter")
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
    assert house.in_mail("cat /var/mail/letter") == "as it was\n"
    expect(page.get_by_text("The job was cancelled.")).to_have_count(0)
    shoot(page, "restore-cancelled")
    assert_accessible(page)
    changed.write_bytes(key)


def test_what_the_service_is_set_up_not_to_do_is_told_as_left_out(house: House, visit: Visit) -> None:
    page = visit(at=at_restore(house.backup("with nothing made anew", services=[])))

    see_plan(page)
    confirm(page)

    expect_title(page, "The cell is restored")
    expect(stage(page, "Reading the restored configuration")).to_contain_text("done: ")
    expect(stage(page, "Making the generated configuration anew")).to_contain_text("left out: ")


def test_what_is_not_wanted_is_told_as_left_out_from_the_beginning(house: House, visit: Visit) -> None:
    page = visit(at=at_restore(house.backup("with nothing saved first")))
    page.get_by_label("Nothing").check()
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Caddyfile, Corefile and routing rules").select_option("Leave them as the backup has them")
    see_plan(page)

    with volumes_held(house):
        confirm(page)
        expect(stage(page, "Restoring the data of the services")).to_contain_text("under way: ", timeout=60_000)
        for left_out in ("Saving what is about to be replaced", "Making the generated configuration anew"):
            expect(stage(page, left_out)).to_contain_text("left out: ")

    expect_title(page, "The cell is restored")
    expect(stage(page, "Saving what is about to be replaced")).to_contain_text("left out: ")


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
