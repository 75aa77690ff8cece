"""What both job rooms do with webhooks on their way."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from app.jobs.deliveries import ATTEMPTS_KEPT, DeliveryState
from app.jobs.rooms import Jobs
from tests.unit.jobs.deliveries import a_delivery, an_attempt
from tests.unit.jobs.jobs import FIRST


def minute(number: float) -> datetime:
    return FIRST + timedelta(minutes=number)


async def claimed(jobs: Jobs, now: datetime) -> str | None:
    delivery = await jobs.deliveries.claim(now, seconds=60)
    return None if delivery is None else delivery.delivery_id


async def test_a_new_one_is_kept_as_it_was_made(jobs: Jobs) -> None:
    delivery = a_delivery(body="x" * 100_000)
    await jobs.deliveries.add(delivery)
    assert await jobs.deliveries.of_job("job-0001") == [delivery]
    assert await jobs.deliveries.pending() == 1


async def test_one_that_is_there_stays_as_it_is(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    await jobs.deliveries.record(a_delivery(tried=1, delivered=True))
    await jobs.deliveries.add(a_delivery(body="other"))
    assert await jobs.deliveries.of_job("job-0001") == [a_delivery(tried=1, delivered=True)]
    assert await jobs.deliveries.pending() == 0


async def test_deliveries_of_a_job_come_oldest_first(jobs: Jobs) -> None:
    mine = [a_delivery(1, "request"), a_delivery(1, "default"), a_delivery(1, "again", created_at=minute(1))]
    for delivery in (mine[2], mine[0], a_delivery(2), mine[1]):
        await jobs.deliveries.add(delivery)
    assert await jobs.deliveries.of_job("job-0001") == [mine[1], mine[0], mine[2]]
    assert await jobs.deliveries.of_job("job-0003") == []


async def test_nothing_is_claimed_before_it_is_due(jobs: Jobs) -> None:
    assert await claimed(jobs, minute(9)) is None
    await jobs.deliveries.add(a_delivery())
    assert await jobs.deliveries.claim(minute(1) - timedelta(microseconds=1), seconds=60) is None
    assert await jobs.deliveries.claim(minute(1), seconds=60) == a_delivery()


async def test_what_is_due_longest_is_claimed_first(jobs: Jobs) -> None:
    for number, due in ((1, 3), (2, 1), (3, 2)):
        await jobs.deliveries.add(a_delivery(number, next_at=minute(due)))
    claims = [await claimed(jobs, minute(4)) for _ in range(4)]
    assert claims == ["msg_job-0002.default", "msg_job-0003.default", "msg_job-0001.default", None]


async def test_one_that_says_no_time_is_due_at_once(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery(next_at=None))
    assert await claimed(jobs, FIRST) == "msg_job-0001.default"


async def test_what_is_claimed_is_nobody_elses_until_its_time_is_over(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    assert await claimed(jobs, minute(5)) == "msg_job-0001.default"
    assert await claimed(jobs, minute(5.99)) is None
    assert await jobs.deliveries.pending() == 1
    # whoever had it has died
    assert await claimed(jobs, minute(6)) == "msg_job-0001.default"


async def test_of_many_claims_at_once_each_gets_another_one(jobs: Jobs) -> None:
    for number in range(10):
        await jobs.deliveries.add(a_delivery(number))
    claims = await asyncio.gather(*(claimed(jobs, minute(9)) for _ in range(20)))
    assert sorted(claim for claim in claims if claim) == [f"msg_job-{number:04d}.default" for number in range(10)]


async def test_what_failed_is_due_again_at_its_time(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    await jobs.deliveries.claim(minute(1), seconds=600)
    failed = a_delivery(tried=1)
    await jobs.deliveries.record(failed)
    assert await jobs.deliveries.of_job("job-0001") == [failed]
    assert await claimed(jobs, minute(1.9)) is None
    assert await jobs.deliveries.claim(minute(2), seconds=60) == failed


@pytest.mark.parametrize("end", [DeliveryState.DELIVERED, DeliveryState.GIVEN_UP])
async def test_what_is_over_is_never_due_again(jobs: Jobs, end: DeliveryState) -> None:
    await jobs.deliveries.add(a_delivery())
    await jobs.deliveries.claim(minute(1), seconds=60)
    over = a_delivery(tried=1, state=end, next_at=None)
    await jobs.deliveries.record(over)
    assert await claimed(jobs, minute(9999)) is None
    assert await jobs.deliveries.pending() == 0
    assert await jobs.deliveries.of_job("job-0001") == [over]


async def test_the_last_attempts_are_kept(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    await jobs.deliveries.record(a_delivery(tried=ATTEMPTS_KEPT + 3))
    [kept] = await jobs.deliveries.of_job("job-0001")
    assert kept.attempts == tuple(an_attempt(number) for number in range(4, ATTEMPTS_KEPT + 4))


# --- sending again


async def test_what_was_given_up_can_be_sent_again(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    over = a_delivery(tried=2, state=DeliveryState.GIVEN_UP, next_at=None)
    await jobs.deliveries.record(over)
    again = replace(over, state=DeliveryState.PENDING, next_at=minute(30))
    assert await jobs.deliveries.send_again(over.delivery_id, minute(30)) == again
    assert await jobs.deliveries.of_job("job-0001") == [again]
    assert await jobs.deliveries.pending() == 1
    assert await jobs.deliveries.claim(minute(30), seconds=60) == again
    delivered = a_delivery(tried=3, delivered=True)
    await jobs.deliveries.record(delivered)
    assert await jobs.deliveries.of_job("job-0001") == [delivered]
    assert await jobs.deliveries.pending() == 0


async def test_one_that_waits_can_be_sent_at_once(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery(next_at=minute(600)))
    await jobs.deliveries.send_again("msg_job-0001.default", minute(5))
    assert await claimed(jobs, minute(5)) == "msg_job-0001.default"
    assert await claimed(jobs, minute(5)) is None


async def test_what_is_on_its_way_is_not_sent_a_second_time_beside_it(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    await jobs.deliveries.claim(minute(1), seconds=600)
    for _ in range(2):
        assert await jobs.deliveries.send_again("msg_job-0001.default", minute(5)) == a_delivery(next_at=minute(5))
        assert await claimed(jobs, minute(10)) is None
    # whoever had it has died
    assert await claimed(jobs, minute(11)) == "msg_job-0001.default"
    await jobs.deliveries.record(a_delivery(tried=1, next_at=minute(600)))
    await jobs.deliveries.send_again("msg_job-0001.default", minute(11.5))
    assert await claimed(jobs, minute(11.5)) == "msg_job-0001.default"


async def test_what_is_not_there_cannot_be_sent_again(jobs: Jobs) -> None:
    assert await jobs.deliveries.send_again("msg_job-0001.default", FIRST) is None
    assert await jobs.deliveries.pending() == 0


# --- counting


async def test_attempts_are_counted_by_what_came_of_them(jobs: Jobs) -> None:
    assert await jobs.deliveries.attempts() == {"delivered": 0, "failed": 0, "given_up": 0}
    for number in (1, 2):
        await jobs.deliveries.add(a_delivery(number))
        await jobs.deliveries.record(a_delivery(number, tried=1))
    await jobs.deliveries.record(a_delivery(1, tried=2, delivered=True))
    await jobs.deliveries.record(a_delivery(2, tried=2, state=DeliveryState.GIVEN_UP, next_at=None))
    assert await jobs.deliveries.attempts() == {"delivered": 1, "failed": 2, "given_up": 1}


async def test_an_attempt_counts_once_however_often_it_is_recorded(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    for delivery in (a_delivery(tried=1), a_delivery(tried=1), a_delivery(tried=2), a_delivery(tried=2)):
        await jobs.deliveries.record(delivery)
    assert await jobs.deliveries.attempts() == {"delivered": 0, "failed": 2, "given_up": 0}


async def test_attempts_beyond_those_that_are_kept_still_count(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    for tried in range(1, ATTEMPTS_KEPT + 4):
        await jobs.deliveries.record(a_delivery(tried=tried))
    assert await jobs.deliveries.attempts() == {"delivered": 0, "failed": ATTEMPTS_KEPT + 3, "given_up": 0}


async def test_giving_up_without_an_attempt_is_recorded_and_not_counted(jobs: Jobs) -> None:
    await jobs.deliveries.add(a_delivery())
    await jobs.deliveries.record(a_delivery(tried=1))
    over = a_delivery(tried=1, state=DeliveryState.GIVEN_UP, next_at=None)
    await jobs.deliveries.record(over)
    assert await jobs.deliveries.of_job("job-0001") == [over]
    assert await jobs.deliveries.pending() == 0
    assert await jobs.deliveries.attempts() == {"delivered": 0, "failed": 1, "given_up": 0}
