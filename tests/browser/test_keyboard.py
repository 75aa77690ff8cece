"""The page by keyboard alone."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.house import House
from tests.browser.looks import Visit
from tests.browser.steps import expect_heading, fresh

pytestmark = pytest.mark.engine

_FOCUSED = "(element) => element === document.activeElement"
# the ring is an outline, as it stays visible where colours are forced
_HAS_RING = """(element) => {
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
}"""
_MOST = 60


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until this has the focus, which everybody can see."""
    expect(wanted).to_be_visible()
    for _ in range(_MOST):
        page.keyboard.press("Tab")
        if wanted.evaluate(_FOCUSED):
            assert wanted.evaluate(_HAS_RING), "nobody sees that it has the focus"
            return
    raise AssertionError(f"{_MOST} times Tab do not lead to {wanted}")


def test_from_the_login_to_a_finished_backup_without_a_mouse(visit: Visit, house: House) -> None:
    page = visit(scope=None)
    label = fresh("by keyboard")
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    page.keyboard.type(house.token("admin"))
    page.keyboard.press("Enter")
    expect_heading(page, "Overview")

    tab_to(page, page.get_by_role("button", name="Back up now"))
    page.keyboard.press("Enter")
    asked = page.get_by_role("dialog", name="Back up now")
    expect(asked).to_be_visible()
    tab_to_or_stay(page, asked.get_by_label("Label"))
    page.keyboard.type(label)
    tab_to(page, asked.get_by_role("button", name="Back up", exact=True))
    page.keyboard.press("Enter")

    expect_heading(page, "Backup")
    open_it = page.get_by_role("link", name="To the backup")
    expect(open_it).to_be_visible()
    tab_to(page, open_it)
    page.keyboard.press("Enter")
    expect_heading(page, label)


def tab_to_or_stay(page: Page, wanted: Locator) -> None:
    """Come to what may have the focus already, as the first field of a dialogue does."""
    if not wanted.evaluate(_FOCUSED):
        tab_to(page, wanted)


def test_the_first_key_leads_past_the_ways_to_the_content(page: Page) -> None:
    expect_heading(page, "Overview")

    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")

    expect(page.get_by_role("main")).to_be_focused()
    assert page.url.endswith("#/")


def test_a_dialogue_keeps_the_focus_and_gives_it_back(page: Page) -> None:
    opener = page.get_by_role("button", name="Back up now")
    opener.focus()
    page.keyboard.press("Enter")
    asked = page.get_by_role("dialog", name="Back up now")
    expect(asked).to_be_visible()

    inside = asked.evaluate_handle("(dialog) => dialog")
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "(dialog) => dialog.contains(document.activeElement) || document.activeElement === document.body", inside
        )
    page.keyboard.press("Escape")

    expect(asked).to_have_count(0)
    expect(opener).to_be_focused()


def test_a_view_that_one_goes_to_has_the_focus(page: Page) -> None:
    tab_to(page, page.get_by_role("link", name="Jobs"))

    page.keyboard.press("Enter")

    expect_heading(page, "Jobs")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("link", name="Jobs")).to_have_attribute("aria-current", "page")
