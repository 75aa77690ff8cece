"""What the page says is so: of what went half well, of what it could not see, and of what others named."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Visit
from tests.browser.quiet import quiet_house
from tests.browser.steps import at_restore, confirm, expect_heading, expect_title, row_of, see_plan
from tests.support.webhook_receiver import SECRET

pytestmark = pytest.mark.engine

NEXT = "Run 'make restart' in the cell root."


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    told = {"webhook_url": "http://127.0.0.1:9/", "webhook_secret": SECRET, "webhook_networks": "127.0.0.0/8"}
    with quiet_house(**told) as made:
        made.backup("so that there is one", services=[])
        yield made


@pytest.fixture
def job(house: House) -> dict[str, Any]:
    """Give the newest job as the service tells it."""
    newest: dict[str, Any] = house.service.get("/api/jobs?limit=1")["jobs"][0]
    return newest


def altered(page: Page, address: str, change: Callable[[Any], Any]) -> None:
    """Let the service's answers from an address be other ones, as they are where something is not as in this house."""

    def answer(route: Route) -> None:
        given = route.fetch()
        route.fulfill(response=given, json=change(given.json()))

    page.route(address, answer)


def test_a_restore_that_lacks_something_is_not_shown_as_good(page: Page, job: dict[str, Any]) -> None:
    lacking = {"kind": "restore", "state": "partial", "result": {"steps": [], "next": NEXT}}
    altered(page, f"**/api/jobs/{job['job_id']}", lambda told: told | lacking)

    page.goto(f"/#/jobs/{job['job_id']}")

    expect(page.locator(".box.warn").first).to_contain_text("The cell is restored, but not all of it")
    expect(page.locator(".box.warn").first).to_contain_text(NEXT)
    expect(page.locator(".box.good")).to_have_count(0)


def test_a_part_that_is_put_back_has_no_numbers(page: Page, job: dict[str, Any]) -> None:
    undone = {"outcome": "pending", "files": 0, "bytes": 0}
    parts = [part | undone for part in job["components"]]
    altered(page, f"**/api/jobs/{job['job_id']}", lambda told: told | {"components": parts})

    page.goto(f"/#/jobs/{job['job_id']}")

    vault = row_of(page, "Components and volumes", "keys, certificates")
    expect(vault.get_by_role("cell").nth(1)).to_have_text("not done")
    expect(vault).not_to_contain_text("0 bytes")


def test_a_look_at_a_running_job_that_comes_late_does_not_bring_it_back(page: Page, job: dict[str, Any]) -> None:
    address = f"**/api/jobs/{job['job_id']}"
    running = job | {"state": "running", "finished_at": None}
    news = {"state": "running", "stage": "components", "progress": job["progress"] | {"current": "vault"}}
    late: list[Route] = []
    looks: list[Route] = []

    def answer(route: Route) -> None:
        looks.append(route)
        if len(looks) <= 2:  # the view's own, and that of whoever follows the job
            route.fulfill(json=running)
        else:
            late.append(route)

    page.route(address, answer)
    stream = f"event: progress\ndata: {json.dumps(news)}\n\nevent: end\ndata: {json.dumps(job)}\n\n"
    page.route(f"{address}/events", lambda route: route.fulfill(content_type="text/event-stream", body=stream))

    page.goto(f"/#/jobs/{job['job_id']}")
    expect(page.get_by_text("Everything that was asked for is saved.")).to_be_visible()
    assert late
    for route in late:
        with page.expect_response(lambda response: response.url.endswith(job["job_id"])):
            route.fulfill(json=running)
    page.wait_for_load_state("networkidle")

    expect(page.locator("h1 + .badge")).to_have_text("succeeded")


def test_a_job_that_could_not_be_followed_is_looked_for_again(
    page: Page, house: House, guard: Guard, job: dict[str, Any]
) -> None:
    guard.expect(503, f"/api/jobs/{job['job_id']}")
    running = job | {"state": "running", "finished_at": None, "progress": job["progress"] | {"percent": 42}}
    refused: list[Route] = []

    def answer(route: Route) -> None:
        if refused:
            route.fulfill(json=running)
            return
        refused.append(route)
        route.fulfill(status=503, json={"status": 503, "title": "Away"})

    page.route("**/api/jobs/*/events", lambda route: route.fulfill(content_type="text/event-stream", body=": \n\n"))
    page.route(f"**/api/jobs/{job['job_id']}", answer)
    started = running | {"progress": job["progress"] | {"percent": 7}}
    altered(page, "**/api/jobs?limit=50", lambda told: told | {"jobs": [started]})

    page.goto(house.address)

    expect(page.get_by_text("42 %")).to_be_visible()
    assert refused


def test_what_is_missing_later_is_seen_on_an_overview_that_stays_open(page: Page) -> None:
    page.clock.install()
    page.reload()
    health = page.locator(".checks")
    expect(health.get_by_text("Worker").locator("..")).to_contain_text("ok")
    gone = {"ok": False, "detail": "No worker has been seen."}

    altered(
        page,
        "**/ready",
        lambda told: told | {"checks": [one | gone if one["name"] == "worker" else one for one in told["checks"]]},
    )
    page.clock.fast_forward(31_000)

    expect(health).to_contain_text("No worker has been seen.")


def test_a_last_good_backup_that_is_old_is_no_good_news(page: Page) -> None:
    old = {"created_at": "2026-01-01T02:00:00Z", "choice": []}

    def older(told: dict[str, Any]) -> dict[str, Any]:
        return told | {"backups": [backup | old for backup in told["backups"]]}

    altered(page, "**/api/config/backups?*", older)
    altered(page, "**/api/config/backups", older)

    page.reload()

    expect(page.get_by_text("Whatever came since then is in no backup.")).to_be_visible()
    expect(page.locator(".sign.good")).to_have_count(0)


def test_a_receiver_that_gave_no_answer_for_a_day_is_not_shown_as_good(page: Page) -> None:
    given_up = {"state": "given_up", "next_at": None}
    altered(
        page,
        "**/api/jobs/*/webhooks",
        lambda told: told | {"webhooks": [message | given_up for message in told["webhooks"]]},
    )

    page.goto("/#/webhooks")

    expect(page.locator(".box.bad")).to_contain_text("It was not taken")
    expect(page.locator(".box.good")).to_have_count(0)


def test_a_schedule_in_a_time_zone_that_the_browser_does_not_know_is_shown_and_can_be_changed(
    page: Page, house: House
) -> None:
    wanted = {"name": "far-away", "cron": "30 2 * * *", "timezone": "UTC"}
    house.service.ask("POST", "/api/schedules", expect=201, json=wanted)
    unknown = {"timezone": "Moon/Tycho"}
    altered(page, "**/api/schedules", lambda told: {"schedules": [one | unknown for one in told["schedules"]]})

    page.goto("/#/schedules")

    card = page.get_by_role("region", name="Schedule far-away")
    expect(card).to_contain_text("by this computer's clock")
    expect(card.get_by_role("button", name="Change")).to_be_visible()


def test_a_name_in_an_archive_cannot_turn_the_text_around(house: House, visit: Visit) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("config/\u202etxt.exe"))
        tar.addfile(tarfile.TarInfo("config/two\nlines"))
    house.service.ask("PUT", "/api/config/backups/odd-names", expect=201, content=gzip.compress(packed.getvalue()))
    page = visit(at="#/backups/odd-names")
    page.get_by_role("button", name="Show the files in it").click()

    page.get_by_role("treeitem", name="config").click()

    expect(page.get_by_role("treeitem", name="\\u{202e}txt.exe")).to_be_visible()
    expect(page.get_by_role("treeitem", name="two\\u{a}lines")).to_be_visible()


def test_a_restore_that_could_not_make_the_caddyfile_anew_does_not_say_that_it_did(house: House, visit: Visit) -> None:
    def unmade(told: dict[str, Any]) -> dict[str, Any]:
        for step in (told["result"] or {}).get("steps", []):
            if step["stage"] == "regenerate":
                step["caddyfile"] = {"outcome": "failed", "message": "The template is broken."}
                step["corefile"] = {"outcome": "succeeded", "message": "written."}
        return told

    page = visit(at=at_restore(house.backup("with a broken template", services=[])))
    altered(page, "**/api/jobs/*", unmade)
    page.route("**/api/jobs/*/events", lambda route: route.fulfill(content_type="text/event-stream", body=": \n\n"))

    see_plan(page)
    confirm(page)

    expect_title(page, "The cell is restored")
    made = page.get_by_role("listitem").filter(has_text="Making the generated configuration anew")
    expect(made).to_contain_text("failed: ")


def test_a_cell_whose_name_has_several_blanks_can_be_confirmed(house: House, visit: Visit) -> None:
    config = house.place.cell / "config/api/cell_config.json"
    known = config.read_text()
    config.write_text(json.dumps(json.loads(known) | {"cell_name": "Our  home"}))
    try:
        page = visit(at=f"#/backups/{house.backup('of a cell with blanks', services=[])}/restore")
        page.get_by_role("button", name="Show the plan").click()
        page.get_by_role("button", name="Go on").click()

        page.get_by_label("to confirm").fill("Our home")

        expect(page.get_by_role("button", name="Restore now")).to_be_enabled()
    finally:
        config.write_text(known)


def test_a_double_click_logs_in_once(house: House, visit: Visit) -> None:
    page = visit(scope=None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    page.get_by_label("Token", exact=True).fill(house.token("admin"))

    page.get_by_role("button", name="Log in").dblclick()

    expect_heading(page, "Overview")
    assert len(asked) == 1
