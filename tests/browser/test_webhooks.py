"""Webhooks: trying a receiver, and what became of the messages, as the page shows them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.guarding import Guard
from tests.browser.house import House
from tests.browser.looks import Shoot, Visit, assert_accessible, assert_fits
from tests.browser.quiet import quiet_house
from tests.support.waiting import eventually
from tests.support.webhook_receiver import SECRET, Behaviour, Receiver, answer, receiver

pytestmark = pytest.mark.engine

OTHER = "whsec_YW5vdGhlciBleGFtcGxlLCBubyBzZWNyZXQ="


@contextmanager
def receiving(*behaviours: Behaviour) -> Iterator[Receiver]:
    """Run a receiver beside the driver, whose loop is in the test's own thread."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    running = receiver(*behaviours)
    try:
        yield asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def everyones() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def house(everyones: Receiver) -> Iterator[House]:
    told = {"webhook_url": everyones.url, "webhook_secret": SECRET, "webhook_networks": "127.0.0.0/8"}
    with quiet_house(**told) as made:
        yield made


def told_backup(house: House, there: Receiver) -> str:
    """Make a backup whose end this receiver is told of, and wait until it was tried."""
    job = house.service.backup(services=[], webhook={"url": there.url, "secret": SECRET})
    job_id: str = job["job_id"]
    eventually(lambda: all(one["attempts"] for one in deliveries(house, job_id)), what="everybody was told once")
    return job_id


def deliveries(house: House, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.service.get(f"/api/jobs/{job_id}/webhooks")["webhooks"]
    return found


def row_of(page: Page, there: Receiver) -> Locator:
    return page.get_by_role("row").filter(has_text=there.origin)


def test_a_receiver_is_tried_with_a_signed_message_and_its_answer_is_shown(visit: Visit, shoot: Shoot) -> None:
    page = visit(at="#/webhooks")
    with receiving(answer(202, b"thank you")) as there:
        page.get_by_label("Address").fill(there.url)
        page.get_by_label("Secret").fill(OTHER)

        page.get_by_role("button", name="Send a test message").click()

        expect(page.get_by_text(f"{there.origin} took the message: answered with 202")).to_be_visible()
        expect(page.get_by_text("thank you")).to_be_visible()
        assert there.received[0].verified(OTHER)["type"] == "test"
    shoot(page, "webhooks")


def test_without_an_address_the_receiver_of_all_jobs_is_tried(visit: Visit, everyones: Receiver) -> None:
    page = visit(at="#/webhooks")
    before = len(everyones.received)

    page.get_by_role("button", name="Send a test message").click()

    expect(page.get_by_text(f"{everyones.origin} took the message")).to_be_visible()
    assert everyones.received[before].verified()["type"] == "test"


def test_a_receiver_that_says_no_is_shown_as_one(visit: Visit) -> None:
    page = visit(at="#/webhooks")
    with receiving(answer(500)) as there:
        page.get_by_label("Address").fill(there.url)

        page.get_by_role("button", name="Send a test message").click()

        expect(page.get_by_text(f"{there.origin} did not take the message: answered with 500")).to_be_visible()


def test_an_address_that_may_not_be_called_is_refused_in_the_words_of_the_service(visit: Visit, guard: Guard) -> None:
    page = visit(at="#/webhooks")
    guard.expect(422, "/api/webhooks/test", "POST")
    page.get_by_label("Address").fill("ftp://hooks.example/")

    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.get_by_role("button", name="Send a test message").click()

    expect(page.get_by_role("alert")).to_contain_text(answered.value.json()["detail"])


def test_the_last_messages_are_listed_and_one_is_sent_again(visit: Visit, house: House, everyones: Receiver) -> None:
    with receiving(answer(410), answer(204)) as there:
        job_id = told_backup(house, there)
        page = visit(at="#/webhooks")
        expect(row_of(page, there)).to_contain_text("given up")
        expect(row_of(page, there)).to_contain_text("answered with 410")
        expect(row_of(page, there).get_by_role("link")).to_have_attribute("href", f"#/jobs/{job_id}")
        expect(row_of(page, everyones).first).to_contain_text("told of all jobs")
        expect(page.get_by_text(f"All jobs are told to {everyones.origin}")).to_be_visible()

        row_of(page, there).get_by_role("button", name="Send again").click()

        eventually(lambda: len(there.received) == 2, what="the message came again")
        assert there.received[0].headers["webhook-id"] == there.received[1].headers["webhook-id"]
        eventually(lambda: deliveries(house, job_id)[0]["state"] == "delivered", what="it is delivered")
        page.get_by_role("button", name="Look again").click()
        expect(row_of(page, there)).to_contain_text("delivered")


def test_nothing_of_an_address_but_its_origin_is_shown(visit: Visit, house: House, everyones: Receiver) -> None:
    told_backup(house, everyones)
    page = visit(at="#/webhooks")
    expect(row_of(page, everyones).first).to_be_visible()

    assert "secret" not in page.get_by_role("table").inner_text()
    assert "path-is-secret" not in page.content()


def test_who_may_only_read_sees_the_messages_and_cannot_send(visit: Visit, house: House, everyones: Receiver) -> None:
    told_backup(house, everyones)
    page = visit(scope="read", at="#/webhooks")

    expect(row_of(page, everyones).first).to_contain_text("delivered")
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
    expect(page.get_by_label("Address")).to_have_count(0)


def test_everybody_can_use_webhooks(visit: Visit, house: House, shoot: Shoot) -> None:
    with receiving(answer(410, b"no such hook")) as there:
        told_backup(house, there)
        page = visit(at="#/webhooks")
        row_of(page, there).locator("summary").click()

        assert_accessible(page)
        assert_fits(page)
        shoot(page, "webhooks-messages")
