"""The pictures of the documentation, and whether what is in them is true: `make screenshots` takes them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.catalog.names import new_backup_id
from tests.browser.house import House, running_house
from tests.browser.looks import Shoot, assert_accessible, assert_fits
from tests.browser.steps import back_up, expect_heading
from tests.support.docker_engine import Images, docker

pytestmark = pytest.mark.engine

PASSPHRASE = "seven quiet lamps on the stairs"
NIGHTS = 9


@pytest.fixture(scope="module")
def house(docker_host: str, images: Images) -> Iterator[House]:
    """Give a house of its own, in which somebody has made backups every night."""
    with running_house(docker_host, images) as made:
        made._tokens["admin"] = made.new_token("ada", "admin")
        tonight = datetime.now(UTC).replace(hour=1, minute=30, second=0, microsecond=0)
        for night in reversed(range(NIGHTS)):
            made.in_mail(f"head -c 900000 /dev/urandom >/var/mail/photo-{night}.jpg")
            backup_id = night_of(made, night)
            if night in {0, 5}:
                assert made.service.verify(backup_id, passphrase=PASSPHRASE)["state"] == "succeeded"
            if night:  # the last one keeps the id that its job has, and so is known as good
                let_be_from(made, backup_id, tonight - timedelta(days=night))
        yield made


def night_of(house: House, night: int) -> str:
    """Make the backup of one night; in one of them the calendar was away."""
    wanted: dict[str, Any] = {"label": "Every night", "passphrase": PASSPHRASE}
    if night != 3:
        return house.backup(**wanted)
    with house.without_calendar():
        backup_id: str = house.service.backup(**wanted)["backup_id"]
    return backup_id


def let_be_from(house: House, backup_id: str, at: datetime) -> None:
    """Let a backup be of another time, and verified then if it is verified."""
    other = new_backup_id(at)
    sidecar = house.place.backups / f"{backup_id}.json"
    entry = json.loads(sidecar.read_text().replace(backup_id, other)) | {"created_at": at.isoformat()}
    if entry["verified"]:
        entry["verified"]["at"] = at.isoformat()
    sidecar.write_text(json.dumps(entry))
    for path in house.place.backups.glob(f"{backup_id}.*"):
        path.rename(path.with_name(path.name.replace(backup_id, other)))


def assert_good(page: Page) -> None:
    assert_accessible(page)
    assert_fits(page)


def test_the_list_has_the_newest_on_top_and_its_sizes_above_it(page: Page, shoot: Shoot) -> None:
    page.get_by_role("link", name="Backups", exact=True).click()
    rows = page.get_by_role("table", name="Backups").get_by_role("row")

    expect(rows).to_have_count(1 + NIGHTS)
    expect(rows.nth(1)).to_contain_text("verified")
    expect(rows.nth(4)).to_contain_text("partial")
    expect(page.get_by_role("img", name="Sizes of the backups").locator("rect")).to_have_count(NIGHTS)
    assert_good(page)
    shoot(page, "list")


def test_at_a_glance_there_is_a_good_backup(page: Page, shoot: Shoot) -> None:
    expect(page.get_by_role("heading", name="The last good backup was made")).to_be_visible()
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    expect(page.get_by_text("lacks something")).to_have_count(0)

    assert_good(page)
    shoot(page, "overview")


def test_a_running_backup_says_how_far_it_is(page: Page, house: House, shoot: Shoot) -> None:
    with house.held_half_way():
        back_up(page, "Before the update")
        house.wait_until_held()
        expect(page.get_by_text("calendar/collections")).to_be_visible()
        assert_good(page)
        shoot(page, "running")

    expect(page.get_by_text("Everything that was asked for is saved.")).to_be_visible()


def test_a_plan_says_what_would_change_and_changes_nothing(page: Page, house: House, shoot: Shoot) -> None:
    house.backup("Before the update")
    changed, later = house.place.cell / ".env", house.place.cell / "config/caddy/experiment.caddy"
    changed.write_text("CELL_DOMAIN=experiment.cell\n")
    later.write_text("# tried something\n")
    docker("exec", f"{house.prefix}radicale", "rm", "-r", "/data/collection-root/ada")
    page.get_by_role("link", name="Backups", exact=True).click()
    page.get_by_role("link", name="Before the update").first.click()
    page.get_by_role("link", name="Restore from it").click()
    expect_heading(page, "Restore")
    page.get_by_role("button", name="Show the plan").click()

    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("config/caddy/experiment.caddy")
    assert_good(page)
    shoot(page, "restore-plan")
    assert (changed.read_text(), later.exists()) == ("CELL_DOMAIN=experiment.cell\n", True)
