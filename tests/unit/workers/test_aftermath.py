"""How the end of a job is told: to the audit log, and to receivers, over failures and restarts, in both job rooms."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from app.errors import Code, UnavailableError
from app.jobs.deliveries import Delivery, DeliveryState
from app.jobs.document import document
from app.jobs.records import Job, JobFault, JobState
from app.jobs.webhook_keys import webhook_id
from tests.faults.house import JOB_ID, House
from tests.support.webhook_receiver import LOOPBACK, SECRET, answer, raw, receiver
from tests.unit.workers.tellers import Teller, configured
from workers import aftermath
from workers.webhooks import messages_of


async def test_the_end_of_a_job_is_told_once_signed_and_whole(teller: Teller) -> None:
    async with receiver() as taking:
        job = await teller.end(taking, warnings=("für alle",), asked_by="nightly")
        telling_it = teller.aftermath
        await telling_it.tell()
        assert await telling_it.deliver()
        await telling_it.tell()
        assert not await telling_it.deliver()
    [received] = taking.received
    assert received.verified() == document(job)
    [delivery] = await teller.deliveries()
    assert received.headers["webhook-id"] == delivery.delivery_id
    assert (delivery.state, delivery.origin, delivery.target) == (DeliveryState.DELIVERED, taking.origin, "request")
    assert [attempt.status for attempt in delivery.attempts] == [204]
    assert await teller.jobs.store.untold() == []


async def test_the_audit_log_says_how_a_job_ended(teller: Teller) -> None:
    fault = JobFault(Code.WORKER_LOST, "The worker died.", "Start it again.")
    job = await teller.end(state=JobState.FAILED, error=fault, asked_by="nightly")
    await teller.aftermath.tell()
    [entry] = teller.audit()
    assert (entry.event, entry.what, entry.by, entry.job_id) == ("job_ended", "backup", "nightly", job.job_id)
    assert (entry.target, entry.outcome, entry.code) == (job.backup_id, "failed", "worker_lost")
    assert await teller.deliveries() == []


async def test_operator_and_request_are_both_told(teller: Teller) -> None:
    async with receiver() as mine, receiver() as everyones:
        teller = configured(teller, webhook_url=SecretStr(everyones.url), webhook_secret=SecretStr("x" * 24))
        await teller.end(mine)
        await teller.aftermath.tell()
        while await teller.aftermath.deliver():
            pass
    assert mine.received[0].verified()["job_id"] == JOB_ID
    assert everyones.received[0].verified(b"x" * 24)["job_id"] == JOB_ID
    assert mine.received[0].body == everyones.received[0].body


async def test_attempts_go_on_where_a_restarted_worker_left_them(teller: Teller) -> None:
    async with receiver(answer(500, b"not now"), raw(b""), answer(200)) as taking:
        await teller.end(taking)
        await teller.aftermath.tell()
        for _ in range(3):  # each time by a worker that knows nothing of the others
            assert await teller.aftermath.deliver()
    [delivery] = await teller.deliveries()
    assert delivery.state is DeliveryState.DELIVERED
    assert [(attempt.status, attempt.answer) for attempt in delivery.attempts] == [
        (500, "not now"),
        (None, ""),
        (200, ""),
    ]
    assert len({received.headers["webhook-id"] for received in taking.received}) == 1
    assert len({received.body for received in taking.received}) == 1
    for received in taking.received:
        received.verified()


async def test_a_message_that_nobody_takes_is_given_up_after_the_last_pause(teller: Teller) -> None:
    async with receiver(answer(503)) as taking:
        await teller.end(taking)
        await teller.aftermath.tell()
        while await teller.aftermath.deliver():
            pass
        [delivery] = await teller.deliveries()
        assert (delivery.state, len(delivery.attempts)) == (DeliveryState.GIVEN_UP, 3)
        await teller.jobs.deliveries.send_again(delivery.delivery_id, datetime.now(UTC))
        taking.behaviours = [answer(204)]
        assert await teller.aftermath.deliver()
    [delivery] = await teller.deliveries()
    assert (delivery.state, len(delivery.attempts)) == (DeliveryState.DELIVERED, 4)


async def test_a_worker_that_died_before_it_had_told_all_is_followed_by_one_that_does(teller: Teller) -> None:
    async with receiver() as taking:
        job = await teller.end(taking)
        await teller.jobs.deliveries.add(messages_of(job, teller.tools.settings)[0])
        await teller.aftermath.tell()
        while await teller.aftermath.deliver():
            pass
    assert len(taking.received) == 1
    assert len(teller.audit()) == 1


async def test_what_a_worker_had_in_hand_as_it_died_comes_back_when_its_claim_is_over(teller: Teller) -> None:
    async with receiver(answer(204)) as taking:
        await teller.end(taking)
        await teller.aftermath.tell()
        claimed = await teller.jobs.deliveries.claim(datetime.now(UTC) + teller.ahead, seconds=60)
        assert claimed is not None
        assert not await teller.aftermath.deliver()  # still claimed
        [delivery] = await teller.deliveries()
        assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, ())

        teller.ahead = timedelta(seconds=62)
        assert await teller.aftermath.deliver()
    assert await teller.delivered()
    assert [received.headers["webhook-id"] for received in taking.received] == [claimed.delivery_id]


async def test_a_webhook_whose_secret_is_gone_is_given_up_with_words(teller: Teller) -> None:
    async with receiver() as taking:
        await teller.end(taking)
        await teller.jobs.secrets.drop(webhook_id(JOB_ID))
        await teller.aftermath.tell()
        assert await teller.aftermath.deliver()
    [delivery] = await teller.deliveries()
    assert delivery.state is DeliveryState.GIVEN_UP
    assert delivery.attempts[0].error is not None
    assert "kept for a week" in delivery.attempts[0].error
    assert taking.received == []


async def test_networks_that_are_allowed_no_more_get_nothing(teller: Teller) -> None:
    async with receiver() as taking:
        await teller.end(taking)
        await teller.aftermath.tell()
        assert await configured(teller, webhook_networks=()).aftermath.deliver()
    [delivery] = await teller.deliveries()
    assert "not a public address" in str(delivery.attempts[0].error)
    assert taking.received == []


async def test_no_secret_is_kept_in_the_open(teller: Teller) -> None:
    async with receiver(answer(500, b"Cannot POST /hooks/path-is-secret?key=query-is-secret")) as taking:
        await teller.end(taking)
        await teller.aftermath.tell()
        await teller.aftermath.deliver()
        kept = repr(await teller.deliveries()) + repr(await teller.jobs.store.get(JOB_ID)) + repr(teller.audit())
        assert taking.origin in kept
        for hidden in ("path-is", "query-is", SECRET.removeprefix("whsec_")):
            assert hidden not in kept
            assert hidden not in taking.received[0].body.decode()


async def test_one_job_that_cannot_be_told_does_not_keep_the_others(
    teller: Teller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(await teller.end(), job_id="f" * 32, state=JobState.QUEUED, finished_at=None)
    await teller.jobs.store.create(other, max_queued=9)
    await teller.jobs.store.update(replace(other, state=JobState.FAILED, finished_at=datetime.now(UTC)))

    def broken(job: Job, *rest: Any) -> list[Delivery]:
        if job.job_id == JOB_ID:
            raise ZeroDivisionError
        return messages_of(job, *rest)

    monkeypatch.setattr(aftermath, "messages_of", broken)
    await teller.aftermath.tell()
    assert [job.job_id for job in await teller.jobs.store.untold()] == [JOB_ID]
    assert "could not be told" in caplog.text
    monkeypatch.undo()
    await teller.aftermath.tell()
    assert await teller.jobs.store.untold() == []


async def test_a_defect_in_sending_is_an_attempt_that_failed(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("workers.webhooks.send", broken)
    async with receiver() as taking:
        await teller.end(taking)
    await teller.aftermath.tell()
    assert await teller.aftermath.deliver()
    [delivery] = await teller.deliveries()
    assert delivery.attempts[0].error == "Unexpected ZeroDivisionError; see the worker's log."


async def test_redis_may_be_away_between_sending_and_recording(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "_LOOK_SECONDS", 0.0)
    house.configure(webhook_networks=LOOPBACK)
    await house.queue()
    teller = Teller(house.tools)
    record, refusals = house.jobs.deliveries.record, [1, 2, 3]

    async def away(delivery: Delivery) -> None:
        if refusals:
            refusals.pop()
            raise UnavailableError(Code.REDIS_UNAVAILABLE, "Redis is away.")
        await record(delivery)

    monkeypatch.setattr(house.jobs.deliveries, "record", away)
    async with receiver() as taking:
        await teller.end(taking)
        await teller.aftermath.tell()
        await teller.aftermath.deliver()
    assert await teller.delivered()
    assert len(taking.received) == 1


async def test_a_body_is_one_that_any_receiver_can_read(teller: Teller) -> None:
    async with receiver() as taking:
        await teller.end(taking, warnings=("odd name \udcff",), result={"note": "für\u2028alle"})
        await teller.aftermath.tell()
        await teller.aftermath.deliver()
    assert taking.received[0].body.isascii()
    assert json.loads(taking.received[0].body)["result"] == {"note": "für\u2028alle"}
