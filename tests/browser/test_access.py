"""Access: tokens are shown once and taken away at once; the log says who did what."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits
from tests.browser.quiet import quiet_house
from tests.browser.steps import log_in

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with quiet_house() as made:
        yield made


def row(page: Page, name: str) -> Locator:
    tokens = page.get_by_role("table", name="Tokens")
    return tokens.get_by_role("row").filter(has=page.locator("strong", has_text=name))


def test_a_new_token_is_shown_once_copied_and_works(visit: Visit) -> None:
    page = visit(at="#/access")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("grafana")
    dialog.get_by_role("button", name="Make it").click()
    token = dialog.get_by_label("The token “grafana”").input_value()

    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_text("Copied.")).to_be_visible()
    is_copied = page.evaluate("() => navigator.clipboard.readText()") == token
    assert is_copied  # so said that a failure shows no token
    dialog.get_by_role("button", name="I have it").click()

    expect(row(page, "grafana")).to_contain_text("read")
    is_gone = token not in page.content()
    assert is_gone
    other = visit(scope=None)
    log_in(other, token)
    expect(other.get_by_role("heading", level=1, name="Overview")).to_be_visible()


def test_where_scripts_may_not_copy_the_token_is_marked_to_be_copied_by_hand(visit: Visit) -> None:
    page = visit(at="#/access")
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("by-hand")
    dialog.get_by_role("button", name="Make it").click()
    token = dialog.get_by_label("The token “by-hand”").input_value()

    dialog.get_by_role("button", name="Copy").click()

    expect(dialog.get_by_text("copy it by hand")).to_be_visible()
    is_marked = page.evaluate("() => getSelection().toString()") == token
    assert is_marked


def test_a_name_that_is_taken_is_refused_in_the_dialogue(visit: Visit, house: House, guard: Guard) -> None:
    house.new_token("taken", "read")
    page = visit(at="#/access")
    guard.expect(409, "/api/tokens", "POST")
    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("taken")

    dialog.get_by_role("button", name="Make it").click()

    expect(dialog.get_by_role("alert")).to_contain_text("taken")


def test_a_token_that_is_replaced_is_refused_and_the_new_one_is_not(visit: Visit, house: House, guard: Guard) -> None:
    old = house.new_token("rotated", "admin")
    page = visit(at="#/access")
    page.get_by_role("button", name="Replace: rotated").click()
    dialog = page.get_by_role("dialog")

    dialog.get_by_role("button", name="Replace it").click()

    new = dialog.get_by_label("The token “rotated”").input_value()
    guard.expect(401, "/api/session", "POST")
    assert page.context.request.post("api/session", data={"token": old}).status == 401
    assert visit(scope=None).context.request.post("api/session", data={"token": new}).ok


def test_a_token_is_removed_only_after_a_question(visit: Visit, house: House, guard: Guard) -> None:
    token = house.new_token("leaving", "admin")
    page = visit(at="#/access")
    page.get_by_role("button", name="Remove: leaving").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert visit(scope=None).context.request.post("api/session", data={"token": token}).ok

    page.get_by_role("button", name="Remove: leaving").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove it").click()

    expect(row(page, "leaving")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    guard.expect(401, "/api/session", "POST")
    assert visit(scope=None).context.request.post("api/session", data={"token": token}).status == 401


def test_who_removes_the_token_in_use_is_warned_and_logged_out(visit: Visit, house: House, guard: Guard) -> None:
    page = visit(scope=None)
    log_in(page, house.new_token("myself", "admin"))
    page.get_by_role("link", name="Access").click()
    expect(row(page, "myself")).to_contain_text("you are logged in with it")
    page.get_by_role("button", name="Remove: myself").click()
    expect(page.get_by_role("dialog")).to_contain_text("you will be logged out at once")
    guard.expect_refusals()

    page.get_by_role("dialog").get_by_role("button", name="Remove it").click()

    expect(page.get_by_label("Token", exact=True)).to_be_visible()


def test_who_replaces_the_token_in_use_still_gets_the_new_one(visit: Visit, house: House, guard: Guard) -> None:
    page = visit(scope=None)
    log_in(page, house.new_token("renewed", "admin"))
    page.get_by_role("link", name="Access").click()
    page.get_by_role("button", name="Replace: renewed").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("you will be logged out")
    dialog.get_by_role("button", name="Replace it").click()
    token = dialog.get_by_label("The token “renewed”").input_value()
    guard.expect_refusals()

    dialog.get_by_role("button", name="I have it").click()

    expect(dialog).to_have_count(0)
    log_in(page, token)
    expect(page.get_by_role("heading", level=1, name="Access")).to_be_visible()


def test_the_log_says_in_words_who_did_what_and_can_be_sieved(visit: Visit, house: House) -> None:
    house.new_token("in-the-log", "read")
    job_id = house.service.backup(services=[])["job_id"]
    page = visit(at="#/access")
    log = page.get_by_role("table", name="Audit log")
    expect(log.get_by_role("row").filter(has_text="Make a token").filter(has_text="in-the-log")).to_be_visible()
    expect(log.get_by_role("row").filter(has_text="Begin a backup").first).to_be_visible()

    page.get_by_label("With these words").fill("make in-the-log")
    expect(log.get_by_role("row")).to_have_count(2)  # with the headings
    page.get_by_label("With these words").fill("")
    page.get_by_label("Show", exact=True).select_option("How jobs ended")

    ended = log.get_by_role("row").filter(has=page.locator(f'a[href="#/jobs/{job_id}"]'))
    expect(ended).to_contain_text("Backup ended")
    expect(ended).to_contain_text("succeeded")
    expect(log.get_by_text("Make a token")).to_have_count(0)


def test_the_log_is_read_on_to_its_beginning(visit: Visit, house: House) -> None:
    for _ in range(101):
        house.service.ask("DELETE", "/api/retention")
    oldest = house.service.get("/api/audit?limit=1000")["entries"][-1]
    page = visit(at="#/access")
    log = page.get_by_role("table", name="Audit log")
    expect(log.get_by_role("row")).to_have_count(101)  # with the headings

    page.get_by_role("button", name="Show older ones").click()

    expect(log.get_by_role("row").last.locator("time")).to_have_attribute("datetime", oldest["at"])
    expect(page.get_by_role("button", name="Show older ones")).to_be_hidden()


def test_who_may_only_read_sees_their_own_token_alone(visit: Visit) -> None:
    page = visit(scope="read", at="#/access")

    expect(page.get_by_text("browser-read")).to_have_count(2)
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("main").get_by_role("table")).to_have_count(0)


def test_everybody_can_use_access(visit: Visit, house: House, shoot: Shoot) -> None:
    house.new_token("dashboard", "read")
    house.service.ask("GET", "/api/config/backups/nothing/download", expect=404)
    page = visit(at="#/access")
    expect(row(page, "dashboard")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)
    shoot(page, "access")
    page.get_by_role("heading", name="Who did what").evaluate("(heading) => heading.scrollIntoView()")
    shoot(page, "access-log")

    page.get_by_role("button", name="Make a token").click()
    assert_accessible(page)
    page.get_by_label("Name").fill("picture")
    page.get_by_role("button", name="Make it").click()
    shown = page.get_by_label("The token “picture”")
    expect(shown).to_be_visible()

    assert_accessible(page)
    assert_fits(page)
    shown.evaluate("(input) => { input.value = 'cellbk_…' }")  # no picture has a token in it
    shoot(page, "access-token")
