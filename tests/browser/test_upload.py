"""An archive comes in through the page, chosen or dropped."""

import base64
import re
import secrets
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

AT = "#/upload"


@pytest.fixture
def archive(house: House, tmp_path: Path) -> Path:
    """Give an archive as the cell's own `make backup` writes it."""
    path = tmp_path / f"cell-backup-20261119-{secrets.randbelow(10**6):06}.tar.gz"
    wanted = ["config", "data", "docker-compose.yml", "Makefile"]
    subprocess.run(["tar", "-czf", path, "--exclude=data/logs", *wanted], cwd=house.place.cell, check=True)
    return path


def choose(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files(path)


def drop(page: Page, name: str, content: bytes) -> None:
    """Drop a file onto the page, as the browser tells it of one."""
    data = page.evaluate_handle(
        """([name, text]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name));
          return data;
        }""",
        [name, base64.b64encode(content).decode()],
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": data})
    expect(page.get_by_text("Drop a backup here")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": data})


def send(page: Page) -> None:
    page.get_by_role("button", name="Upload", exact=True).click()


def name_field(page: Page) -> Locator:
    return page.get_by_label("Name of the backup")


def expect_arrived(page: Page, house: House, path: Path, backup_id: str) -> None:
    expect(page.get_by_role("heading", name="The backup has arrived")).to_be_focused()
    assert (house.place.backups / f"{backup_id}.tar.gz").read_bytes() == path.read_bytes()


def archive_id(path: Path) -> str:
    return path.name.removesuffix(".tar.gz")


def test_a_file_that_is_chosen_arrives_as_it_is_and_can_be_verified(
    house: House, visit: Visit, archive: Path, shoot: Shoot
) -> None:
    page = visit(at=AT)
    assert_accessible(page)
    assert_fits(page)
    shoot(page, "upload")

    choose(page, archive)
    expect(name_field(page)).to_have_value(archive_id(archive))
    assert_accessible(page)
    assert_fits(page)
    send(page)

    expect_arrived(page, house, archive, archive_id(archive))
    assert_accessible(page)
    assert_fits(page)
    shoot(page, "upload-arrived")
    page.get_by_role("button", name="Verify it").click()
    expect(page).to_have_url(re.compile("#/jobs/"))
    expect(page.get_by_text("succeeded").first).to_be_visible()


def test_a_file_that_is_dropped_onto_the_list_of_backups_is_taken(house: House, visit: Visit, archive: Path) -> None:
    page = visit(at="#/backups")
    expect(page.get_by_role("heading", level=1, name="Backups")).to_be_visible()

    drop(page, archive.name, archive.read_bytes())
    send(page)

    expect_arrived(page, house, archive, archive_id(archive))
    page.get_by_role("link", name=archive_id(archive)).click()
    expect(page).to_have_url(re.compile(f"#/backups/{archive_id(archive)}$"))


def test_what_is_there_is_never_replaced_and_another_name_will_do(house: House, visit: Visit, archive: Path) -> None:
    taken = house.backup("there already")
    before = (house.place.backups / f"{taken}.tar.gz").read_bytes()
    page = visit(at=AT)
    choose(page, archive)

    name_field(page).fill(taken)
    send(page)

    expect(page.get_by_role("alert")).to_contain_text(f"There is a backup '{taken}' already.")
    assert (house.place.backups / f"{taken}.tar.gz").read_bytes() == before
    name_field(page).fill(archive_id(archive))
    send(page)
    expect_arrived(page, house, archive, archive_id(archive))


def test_what_the_service_refuses_is_said_in_its_words(house: House, visit: Visit, archive: Path, guard: Guard) -> None:
    page = visit(at=AT)
    choose(page, archive)
    # somebody else was quicker: the page still believes that the name is free
    page.route("**/api/config/backups?*", lambda route: route.fulfill(json={"backups": [], "total": 0}))
    address = f"/api/config/backups/{archive_id(archive)}"
    house.service.ask("PUT", address, expect=201, content=archive.read_bytes())
    problem = house.service.ask("PUT", address, expect=409, content=archive.read_bytes()).json()
    guard.expect(409, address, "PUT")

    send(page)

    expect(page.get_by_role("alert")).to_contain_text(problem["detail"])
    expect(page.get_by_role("alert")).to_contain_text(problem["hint"])
    expect(name_field(page)).to_have_value(archive_id(archive))


def test_a_file_that_is_no_archive_is_not_sent(house: House, visit: Visit) -> None:
    before = house.place.archives()
    page = visit(at=AT)

    drop(page, "holiday.jpg", b"\xff\xd8\xff\xe0 nothing that could be restored")
    expect(page.get_by_text("does not end as a backup's does")).to_be_visible()
    send(page)

    expect(page.get_by_role("alert")).to_contain_text("neither like a gzip file nor like an encrypted one")
    assert_accessible(page)
    assert house.place.archives() == before


def test_a_name_that_no_backup_can_have_is_mended_or_refused(house: House, visit: Visit, archive: Path) -> None:
    before = house.place.archives()
    page = visit(at=AT)

    drop(page, "../my backup (1).tar.gz", archive.read_bytes())
    expect(name_field(page)).to_have_value("my-backup-1")
    for wrong in (".hidden", "a/b", "ä", "a b"):
        name_field(page).fill(wrong)
        send(page)
        expect(page.get_by_role("alert")).to_contain_text("A backup cannot have this name.")

    assert house.place.archives() == before


def test_an_upload_can_be_stopped_and_leaves_nothing(house: House, visit: Visit, tmp_path: Path, shoot: Shoot) -> None:
    large = tmp_path / "large.tar.gz"
    large.write_bytes(b"\x1f\x8b\x08" + bytes(40_000_000))
    before = house.place.archives()
    page = visit(at=AT)
    slow = page.context.new_cdp_session(page)
    slow.send("Network.enable")
    slow.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2_000_000},
    )
    choose(page, large)
    send(page)

    expect(page.get_by_text(" left", exact=False)).to_be_visible()
    bar = page.get_by_role("progressbar", name="Progress of the upload")
    expect(bar).not_to_have_attribute("aria-valuenow", "0")
    shoot(page, "upload-running")
    assert_accessible(page)
    assert_fits(page)
    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_text("The upload was stopped; nothing of it was kept.")).to_be_visible()
    eventually(lambda: house.place.archives() == before, what="nothing of the upload is left")


def test_who_may_only_read_cannot_upload(visit: Visit) -> None:
    page = visit(scope="read", at=AT)

    expect(page.get_by_text("Your token may only read, so it cannot upload anything.")).to_be_visible()
    expect(page.get_by_role("button", name="Choose a file")).to_have_count(0)
