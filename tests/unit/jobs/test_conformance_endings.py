"""What both job rooms do with jobs that have ended: tell, count, forget."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.jobs.base import Totals
from app.jobs.endings import COUNTED
from app.jobs.records import Job, JobKind, JobState, Progress
from app.jobs.rooms import Jobs
from tests.unit.jobs.deliveries import a_delivery
from tests.unit.jobs.jobs import FIRST, a_job

ENDS = [state for state in JobState if state.ended]


def after(seconds: float) -> datetime:
    return FIRST + timedelta(seconds=seconds)


async def ended(jobs: Jobs, job: Job) -> Job:
    await jobs.store.create(a_job(int(job.job_id[-4:]), kind=job.kind), max_queued=99)
    await jobs.store.update(job)
    return job


# --- telling


@pytest.mark.parametrize("end", ENDS)
async def test_an_end_is_untold_until_it_has_been_told(jobs: Jobs, end: JobState) -> None:
    job = await ended(jobs, a_job(state=end, finished_at=after(9)))
    for _ in range(2):
        assert await jobs.store.untold() == [job]
    await jobs.store.mark_told("job-0001")
    await jobs.store.mark_told("job-0001")
    assert await jobs.store.untold() == []
    await jobs.store.update(job)
    assert await jobs.store.untold() == []


async def test_a_job_that_has_not_ended_is_not_to_be_told(jobs: Jobs) -> None:
    await jobs.store.create(a_job(1), max_queued=9)
    await jobs.store.create(a_job(2), max_queued=9)
    await jobs.store.update(a_job(2, state=JobState.RUNNING))
    assert await jobs.store.untold() == []
    await jobs.store.mark_told("job-0009")


async def test_the_oldest_end_is_told_first(jobs: Jobs) -> None:
    for number, seconds in ((1, 30.0), (2, 10.0), (3, 20.0), (4, 10.000001)):
        await ended(jobs, a_job(number, state=JobState.FAILED, finished_at=after(seconds)))
    assert [job.job_id for job in await jobs.store.untold()] == ["job-0002", "job-0004", "job-0003", "job-0001"]
    assert [job.job_id for job in await jobs.store.untold(limit=2)] == ["job-0002", "job-0004"]
    assert await jobs.store.untold(limit=0) == []


async def test_an_end_without_a_time_is_told_too(jobs: Jobs) -> None:
    job = await ended(jobs, a_job(state=JobState.CANCELLED))
    assert await jobs.store.untold() == [job]


# --- counting


def a_success(number: int, **changes: Any) -> Job:
    fields = {"started_at": after(10), "finished_at": after(12.5), "progress": Progress(100, bytes_done=1000)}
    return a_job(number, **{"state": JobState.SUCCEEDED, **fields, **changes})


async def test_at_first_nothing_is_counted(jobs: Jobs) -> None:
    assert await jobs.store.totals() == dict.fromkeys(COUNTED, Totals())


async def test_ended_jobs_are_summed_up_by_kind(jobs: Jobs) -> None:
    last = await ended(jobs, a_success(1))
    await ended(jobs, a_success(2, state=JobState.PARTIAL, finished_at=after(11.25)))
    await ended(jobs, a_success(3, state=JobState.FAILED))
    await ended(jobs, a_success(4, state=JobState.FAILED))
    await ended(jobs, a_success(5, state=JobState.CANCELLED))
    verified = await ended(jobs, a_success(6, kind=JobKind.VERIFY))
    counts = {JobState.SUCCEEDED: 1, JobState.PARTIAL: 1, JobState.FAILED: 2, JobState.CANCELLED: 1}
    assert await jobs.store.totals() == {
        "backup": Totals(counts, seconds=3.75, bytes=2000, last_success=last),
        "verify": Totals({JobState.SUCCEEDED: 1}, seconds=2.5, bytes=1000, last_success=verified),
        "restore": Totals(),
        "prune": Totals(),
        "restore_dry_run": Totals(),
    }


async def test_a_dry_run_counts_apart_from_restores(jobs: Jobs) -> None:
    planned = await ended(jobs, a_success(1, kind=JobKind.RESTORE, request={"dry_run": True}))
    restored = await ended(jobs, a_success(2, kind=JobKind.RESTORE, request={"dry_run": False}))
    await ended(jobs, a_success(3, kind=JobKind.RESTORE, request={"dry_run": True}, state=JobState.FAILED))
    totals = await jobs.store.totals()
    assert totals["restore"] == Totals({JobState.SUCCEEDED: 1}, 2.5, 1000, restored)
    assert totals["restore_dry_run"] == Totals({JobState.SUCCEEDED: 1, JobState.FAILED: 1}, 2.5, 1000, planned)


async def test_a_job_counts_when_it_ends_and_once(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    await jobs.store.update(a_success(1, state=JobState.RUNNING))
    assert (await jobs.store.totals())["backup"] == Totals()
    for state in (JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.FAILED):  # a lost reply; a worker that comes late
        await jobs.store.update(a_success(1, state=state))
    assert (await jobs.store.totals())["backup"] == Totals({JobState.SUCCEEDED: 1}, 2.5, 1000, a_success(1))


@pytest.mark.parametrize("started", [None, after(13)], ids=["nobody knows", "the clock was set back"])
async def test_a_success_of_unknown_length_counts_no_seconds(jobs: Jobs, started: datetime | None) -> None:
    job = await ended(jobs, a_success(1, started_at=started))
    assert (await jobs.store.totals())["backup"] == Totals({JobState.SUCCEEDED: 1}, 0.0, 1000, job)


async def test_forgotten_jobs_still_count(jobs: Jobs) -> None:
    job = await ended(jobs, a_success(1))
    await jobs.store.mark_told("job-0001")
    await jobs.store.forget_old(0)
    assert await jobs.store.get("job-0001") is None
    assert (await jobs.store.totals())["backup"] == Totals({JobState.SUCCEEDED: 1}, 2.5, 1000, job)


# --- forgetting


async def told(jobs: Jobs, *numbers: int) -> None:
    for number in numbers:
        await ended(jobs, a_job(number, state=JobState.PARTIAL))
        await jobs.store.mark_told(f"job-{number:04d}")


async def remembered(jobs: Jobs) -> list[int]:
    left, total = await jobs.store.page(limit=99)
    assert total == len(left)
    return [int(job.job_id[-4:]) for job in left]


async def test_the_oldest_ended_records_are_forgotten_first(jobs: Jobs) -> None:
    for number in (1, 4):
        await jobs.store.create(a_job(number), max_queued=9)
    await told(jobs, 2, 3, 5, 6)
    await jobs.store.forget_old(2)
    assert await remembered(jobs) == [6, 5, 4, 1]
    assert await jobs.store.get("job-0002") is None


async def test_nothing_is_forgotten_while_there_is_room(jobs: Jobs) -> None:
    await told(jobs, 1)
    await jobs.store.create(a_job(2), max_queued=9)
    await jobs.store.forget_old(1)
    assert await remembered(jobs) == [2, 1]


async def test_an_untold_job_is_not_forgotten_nor_is_a_younger_one_in_its_place(jobs: Jobs) -> None:
    await ended(jobs, a_job(1, state=JobState.FAILED))
    await told(jobs, 2, 3, 4)
    await jobs.store.forget_old(2)
    assert await remembered(jobs) == [4, 3, 1]
    await jobs.store.mark_told("job-0001")
    await jobs.store.forget_old(2)
    assert await remembered(jobs) == [4, 3]


async def test_a_job_whose_webhook_is_pending_is_not_forgotten(jobs: Jobs) -> None:
    await told(jobs, 1, 2)
    for name in ("default", "request"):
        await jobs.deliveries.add(a_delivery(1, name))
    await jobs.deliveries.record(a_delivery(1, "default", tried=1, delivered=True))
    await jobs.store.forget_old(0)
    assert await remembered(jobs) == [1]
    assert len(await jobs.deliveries.of_job("job-0001")) == 2
    await jobs.deliveries.record(a_delivery(1, "request", tried=1, delivered=True))
    await jobs.store.forget_old(0)
    assert await remembered(jobs) == []


async def test_a_forgotten_job_takes_its_webhooks_along(jobs: Jobs) -> None:
    await told(jobs, 1, 2)
    for number in (1, 2):
        await jobs.deliveries.add(a_delivery(number))
        await jobs.deliveries.record(a_delivery(number, tried=1, delivered=True))
    await jobs.store.forget_old(1)
    assert await jobs.deliveries.of_job("job-0001") == []
    assert await jobs.deliveries.send_again("msg_job-0001.default", after(9)) is None
    await jobs.deliveries.record(a_delivery(1, tried=2))
    assert await jobs.deliveries.pending() == 0
    assert len(await jobs.deliveries.of_job("job-0002")) == 1
