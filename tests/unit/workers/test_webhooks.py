"""Which messages a job's end makes, and when an attempt follows another."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.jobs.deliveries import Delivery, DeliveryState
from app.jobs.document import document
from app.jobs.records import JobState
from app.settings import Settings
from app.webhooks.sending import Attempt
from tests.support.webhook_receiver import SECRET
from tests.unit.jobs.jobs import a_job
from workers.webhooks import after, messages_of

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
PAUSES = (5.0, 60.0, 300.0)
JOB = a_job(state=JobState.SUCCEEDED, finished_at=NOW)


def settings_with(**values: Any) -> Settings:
    return Settings(cell_root=Path("/nowhere"), state_dir=Path("/nowhere"), **values)


def everyone(settings: dict[str, Any]) -> Settings:
    url = SecretStr("https://everyone.example/secret-path")
    return settings_with(webhook_url=url, webhook_secret=SecretStr(SECRET), **settings)


def a_delivery() -> Delivery:
    return Delivery("msg_1", JOB.job_id, "request", "https://hooks.example", "{}", NOW, next_at=NOW)


def failed(status: int | None = 500, **fields: Any) -> Attempt:
    return Attempt(NOW, 2.0, status, **fields)


def test_nobody_is_told_where_nobody_wants_to_be() -> None:
    assert messages_of(JOB, settings_with()) == []
    assert messages_of(replace(JOB, request={"webhook": None}), settings_with()) == []


def test_request_and_operator_are_told_each_by_a_message_of_its_own() -> None:
    job = replace(JOB, request={"webhook": "https://hooks.example"})
    mine, default = messages_of(job, everyone({}))
    assert (mine.target, mine.origin) == ("request", "https://hooks.example")
    assert (default.target, default.origin) == ("default", "https://everyone.example")
    assert mine.delivery_id != default.delivery_id
    for message in (mine, default):
        assert "." not in message.delivery_id  # it would be taken for the end of the id in what is signed
        assert json.loads(message.body) == document(job)
        assert (message.state, message.attempts) == (DeliveryState.PENDING, ())
    assert [message.delivery_id for message in messages_of(job, everyone({}))] == [
        mine.delivery_id,
        default.delivery_id,
    ]


def test_after_each_failure_the_next_pause_is_waited_and_then_it_is_given_up() -> None:
    delivery = a_delivery()
    for pause in PAUSES:
        delivery = after(delivery, failed(), PAUSES, jitter=lambda: 1.0)
        assert delivery.state is DeliveryState.PENDING
        assert delivery.next_at == NOW + timedelta(seconds=2 + pause)
    delivery = after(delivery, failed(None, error="No answer."), PAUSES)
    assert (delivery.state, delivery.next_at) == (DeliveryState.GIVEN_UP, None)
    assert [attempt.status for attempt in delivery.attempts] == [500, 500, 500, None]
    assert delivery.attempts[-1].error == "No answer."


def test_the_pauses_set_by_default_cover_about_a_day() -> None:
    assert 20 * 3600 < sum(settings_with().webhook_pauses) < 30 * 3600


def test_pauses_vary_a_little_so_that_not_all_come_at_once() -> None:
    pauses = set()
    for _ in range(50):
        due = after(a_delivery(), failed(), (100.0,)).next_at
        assert due is not None
        pauses.add((due - NOW).total_seconds() - 2)
    assert len(pauses) > 10
    assert all(80 <= pause <= 120 for pause in pauses)


def test_a_delivered_message_is_never_sent_again_by_itself() -> None:
    delivery = after(after(a_delivery(), failed(), PAUSES), Attempt(NOW, 1.0, 204), PAUSES)
    assert (delivery.state, delivery.next_at, len(delivery.attempts)) == (DeliveryState.DELIVERED, None, 2)


def test_a_receiver_that_is_gone_for_good_is_asked_no_more() -> None:
    delivery = after(a_delivery(), failed(410), PAUSES)
    assert (delivery.state, delivery.next_at) == (DeliveryState.GIVEN_UP, None)


@pytest.mark.parametrize(
    ("wish", "pause"), [(None, 5), (0.0, 5), (3.0, 5), (120.0, 120), (36000.0, 36000), (9e9, 36000)]
)
def test_a_receiver_may_ask_for_a_longer_pause(wish: float | None, pause: float) -> None:
    delivery = after(a_delivery(), failed(429, retry_after=wish), PAUSES, jitter=lambda: 1.0)
    assert delivery.next_at == NOW + timedelta(seconds=2 + pause)


def test_a_message_that_is_sent_again_by_hand_is_tried_once() -> None:
    delivery = a_delivery()
    for _ in range(4):
        delivery = after(delivery, failed(), PAUSES)
    again = replace(delivery, state=DeliveryState.PENDING, next_at=NOW)
    assert after(again, failed(), PAUSES).state is DeliveryState.GIVEN_UP
    assert after(again, Attempt(NOW, 1.0, 200), PAUSES).state is DeliveryState.DELIVERED


def test_there_is_an_end_even_where_more_pauses_are_set_than_attempts_are_kept() -> None:
    delivery = a_delivery()
    for _ in range(50):
        assert delivery.state is DeliveryState.PENDING
        delivery = after(delivery, failed(), (1.0,) * 100)
    assert delivery.state is DeliveryState.GIVEN_UP
