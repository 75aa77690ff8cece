"""What a token of the scope `read` sees: everything that it may look at, and no button that would be refused."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.house import House
from tests.browser.looks import Visit
from tests.browser.steps import expect_heading, fresh, go_to_backup

pytestmark = pytest.mark.engine

PASSPHRASE = "seven quiet lamps on the stairs"
MAY_BE_PRESSED = {"Log out", "Show the files in it", "Look again", "Newer", "Older", "To the backup"}
VIEWS = {
    "#/": "Overview",
    "#/backups": "Backups",
    "#/upload": "Upload",
    "#/jobs": "Jobs",
    "#/schedules": "Schedules",
    "#/retention": "Retention",
    "#/webhooks": "Webhooks",
    "#/access": "Access",
}


def pressed_by_nobody(page: Page) -> Iterator[str]:
    """Name the buttons, and the links that look like one, which a reader may not press."""
    page.wait_for_load_state("networkidle")
    for button in page.locator("button, a.button, input[type=file], input[type=submit]").all():
        name = button.inner_text().strip()
        if button.is_visible() and name not in MAY_BE_PRESSED:
            yield name


@pytest.mark.parametrize("address", VIEWS)
def test_a_view_has_no_button_that_a_reader_may_not_press(visit: Visit, address: str) -> None:
    page = visit(scope="read", at=address)

    expect_heading(page, VIEWS[address])

    assert list(pressed_by_nobody(page)) == []


@pytest.mark.parametrize("secret", [{}, {"passphrase": PASSPHRASE}], ids=["plain", "encrypted"])
def test_a_reader_sees_a_backup_and_its_job_but_can_do_nothing_to_them(
    visit: Visit, house: House, secret: dict[str, str]
) -> None:
    label = fresh("to be looked at")
    backup_id = house.backup(label, components=["vault"], services=[], **secret)
    page = visit(scope="read")

    go_to_backup(page, label)
    expect(page.get_by_text(f"{backup_id}.tar.gz")).to_be_visible()
    assert list(pressed_by_nobody(page)) == []
    page.goto(f"/#/backups/{backup_id}/restore")
    expect(page.get_by_role("heading", level=1, name="Restore")).to_be_visible()
    assert list(pressed_by_nobody(page)) == []
    (job,) = house.service.get("/api/jobs?kind=backup&limit=1")["jobs"]
    page.goto(f"/#/jobs/{job['job_id']}")
    expect_heading(page, "Backup")
    assert list(pressed_by_nobody(page)) == []


def test_a_reader_looks_into_a_plain_backup(visit: Visit, house: House) -> None:
    label = fresh("to be looked into")
    house.backup(label, components=["vault"], services=[])
    page = visit(scope="read")
    go_to_backup(page, label)

    page.get_by_role("button", name="Show the files in it").click()

    expect(page.get_by_role("treeitem", name="data, folder")).to_be_visible()


def test_a_reader_watches_a_backup_but_cannot_cancel_it(visit: Visit, house: House) -> None:
    page = visit(scope="read")
    with house.held_half_way():
        job_id = house.service.start_backup()["job_id"]
        house.wait_until_held()
        page.goto(f"/#/jobs/{job_id}")
        expect(page.get_by_role("heading", name="About this job")).to_be_visible()
        expect(page.get_by_role("progressbar")).to_be_visible()
        expect(page.get_by_role("button")).to_have_text(["Log out"])

    expect(page.get_by_text("Everything that was asked for is saved.")).to_be_visible()
