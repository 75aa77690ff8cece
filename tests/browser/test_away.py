"""What the page says while the service cannot be reached."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.steps import back_up, expect_heading, fresh

pytestmark = pytest.mark.engine


def test_a_view_that_cannot_be_had_says_so_and_comes_when_it_can_be(page: Page, guard: Guard) -> None:
    expect_heading(page, "Overview")
    guard.expect_no_answers()
    page.context.set_offline(True)

    page.get_by_role("link", name="Jobs").click()

    expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
    page.context.set_offline(False)
    page.get_by_role("link", name="Overview").click()
    expect_heading(page, "Overview")
    page.get_by_role("link", name="Jobs").click()
    expect_heading(page, "Jobs")
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(("cut", "shown"), [(1, "How many are kept"), (2, "The service does not answer.")])
def test_an_answer_that_breaks_off_is_asked_for_once_more(page: Page, cut: int, shown: str) -> None:
    expect_heading(page, "Overview")
    page.evaluate(
        """(left) => {
          const real = window.fetch;
          const broken = () => new ReadableStream({start: (body) => body.error(new TypeError("network error"))});
          window.fetch = async (address, request) => {
            if (!address.startsWith("api/retention") || left === 0) return real(address, request);
            left -= 1;
            return new Response(broken(), {headers: {"Content-Type": "application/json"}});
          };
        }""",
        cut,
    )

    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Retention").click()

    expect(page.get_by_text(shown)).to_be_visible()


def test_a_job_that_is_watched_is_seen_to_its_end_whatever_becomes_of_the_stream(
    page: Page, house: House, guard: Guard
) -> None:
    guard.expect_no_answers()
    page.route("**/events", lambda route: route.abort("connectionreset"))
    with house.held_half_way():
        back_up(page, fresh("watched without a stream"))
        house.wait_until_held()
        expect(page.get_by_role("progressbar")).to_be_visible()

    expect(page.get_by_text("Everything that was asked for is saved.")).to_be_visible()
