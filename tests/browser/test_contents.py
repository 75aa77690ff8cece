"""What an archive holds, looked through by keyboard."""

import gzip
import io
import secrets
import tarfile

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits

pytestmark = pytest.mark.engine

PASSPHRASE = "correct horse battery"
MANY = 25_000


def many_files() -> bytes:
    """Make an archive of many empty files in one folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(MANY):
            tar.addfile(tarfile.TarInfo(f"data/many/file-{number:06}"))
    return gzip.compress(packed.getvalue(), 1)


def open_contents(page: Page) -> None:
    page.get_by_role("button", name="Show the files in it").click()


def item(page: Page, name: str) -> Locator:
    return page.get_by_role("treeitem", name=name)


def test_the_tree_is_gone_through_by_keyboard(house: House, visit: Visit, shoot: Shoot) -> None:
    page = visit(at=f"#/backups/{house.backup('to be looked through')}")
    open_contents(page)
    expect(item(page, "config, folder")).to_be_visible()
    page.get_by_label("Find files").focus()

    page.keyboard.press("Tab")
    expect(item(page, ".cell-backup, folder")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(item(page, "config, folder")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(item(page, "api, folder")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(item(page, "cell_config.json, ")).to_be_focused()
    assert_accessible(page)
    assert_fits(page)
    shoot(page, "contents")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(item(page, "cell_config.json, ")).to_have_count(0)
    expect(item(page, "api, folder")).to_be_focused()
    page.keyboard.press("End")
    expect(item(page, "docker-compose.yml, ")).to_be_focused()
    page.keyboard.press("Home")
    expect(item(page, ".cell-backup, folder")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_label("Find files")).to_be_focused()


def test_files_are_found_by_a_part_of_their_path(house: House, visit: Visit) -> None:
    page = visit(at=f"#/backups/{house.backup('to be searched')}")
    open_contents(page)
    expect(item(page, "config, folder")).to_be_visible()

    page.get_by_label("Find files").fill("API/Cell_Config")

    expect(page.get_by_role("list", name="Matches")).to_contain_text("config/api/cell_config.json")
    expect(page.get_by_text("1 match", exact=True)).to_be_visible()
    expect(page.get_by_role("tree")).to_be_hidden()
    assert_accessible(page)
    assert_fits(page)
    page.get_by_label("Find files").fill("nothing is called this")
    expect(page.get_by_text("Nothing has that in its name.")).to_be_visible()
    page.get_by_label("Find files").fill("")
    expect(page.get_by_role("tree")).to_be_visible()


def test_an_encrypted_one_opens_with_its_passphrase_alone(house: House, visit: Visit, guard: Guard) -> None:
    backup_id = house.backup("locked, to be looked through", passphrase=PASSPHRASE)
    page = visit(at=f"#/backups/{backup_id}")
    open_contents(page)
    path = f"/api/config/backups/{backup_id}/contents"
    guard.expect(422, path, "POST")
    passphrase = page.get_by_label("Passphrase of this backup")

    passphrase.fill("wrong")
    with page.expect_response(f"**{path}?*") as answered:
        passphrase.press("Enter")

    expect(page.get_by_role("alert")).to_contain_text(answered.value.json()["detail"])
    expect(passphrase).to_be_focused()
    assert_accessible(page)
    assert_fits(page)
    passphrase.fill(PASSPHRASE)
    passphrase.press("Enter")
    expect(item(page, "services, folder")).to_be_visible()
    expect(page.get_by_label("Find files")).to_be_focused()
    assert PASSPHRASE not in page.content()


def test_only_what_is_open_is_in_the_page_however_much_there_is(house: House, visit: Visit) -> None:
    backup_id = f"many-{secrets.token_hex(4)}"
    house.service.ask("PUT", f"/api/config/backups/{backup_id}", expect=201, content=many_files())
    page = visit(at=f"#/backups/{backup_id}")
    open_contents(page)
    expect(page.get_by_role("status").filter(has_text="25,000 files")).to_be_visible()
    expect(page.get_by_role("treeitem")).to_have_count(1)

    item(page, "data, folder, 25,000 files").click()
    item(page, "many, folder, 25,000 files").click()
    expect(page.get_by_role("treeitem")).to_have_count(203)
    page.keyboard.press("End")
    expect(item(page, "Show more of 24,800 entries")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("treeitem")).to_have_count(403)
    expect(item(page, "file-000200, 0 bytes")).to_be_focused()
    page.get_by_label("Find files").fill("file-02499")
    expect(page.get_by_text("10 matches", exact=True)).to_be_visible()
    page.get_by_label("Find files").fill("many")
    expect(page.get_by_text("25,001 matches; the first 200 are shown.")).to_be_visible()
    expect(page.get_by_role("list", name="Matches").get_by_role("listitem")).to_have_count(200)
