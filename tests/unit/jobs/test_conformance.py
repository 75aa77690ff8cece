"""What both job rooms do with records: the one on Redis and the one in memory."""

import asyncio
from typing import Any

import pytest

from app.errors import Code, InputError, JobError
from app.jobs.records import Job, JobKind, JobState, Progress
from app.jobs.rooms import Jobs
from tests.unit.jobs.jobs import a_job


async def test_a_record_is_kept_as_it_was_made(jobs: Jobs) -> None:
    job = a_job(request={"components": ["vault"], "services": [], "label": None})
    await jobs.store.create(job, max_queued=1)
    assert await jobs.store.get(job.job_id) == job


async def test_an_unknown_id_has_no_record(jobs: Jobs) -> None:
    assert await jobs.store.get("job-0001") is None
    assert await jobs.store.request_cancel("job-0001") is None


async def test_making_the_same_record_again_changes_nothing(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=1)
    await jobs.store.create(a_job(), max_queued=1)
    assert await jobs.store.page(limit=10) == ([a_job()], 1)


async def test_an_id_that_is_taken_is_refused(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    with pytest.raises(JobError) as caught:
        await jobs.store.create(a_job(stage="other"), max_queued=9)
    assert caught.value.code is Code.INTERNAL
    assert await jobs.store.get(a_job().job_id) == a_job()


async def test_a_new_record_must_be_queued(jobs: Jobs) -> None:
    with pytest.raises(JobError) as caught:
        await jobs.store.create(a_job(state=JobState.RUNNING), max_queued=9)
    assert caught.value.code is Code.INTERNAL


async def test_a_full_queue_refuses_and_keeps_nothing(jobs: Jobs) -> None:
    await jobs.store.create(a_job(1), max_queued=2)
    await jobs.store.create(a_job(2), max_queued=2)
    with pytest.raises(InputError) as caught:
        await jobs.store.create(a_job(3), max_queued=2)
    assert caught.value.code is Code.QUEUE_FULL
    assert await jobs.store.get("job-0003") is None
    assert (await jobs.store.page(limit=10))[1] == 2


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.CANCELLED])
async def test_a_job_that_left_the_queue_makes_room(jobs: Jobs, state: JobState) -> None:
    await jobs.store.create(a_job(1), max_queued=1)
    await jobs.store.update(a_job(1, state=state))
    await jobs.store.create(a_job(2), max_queued=1)
    assert await jobs.store.get("job-0002") == a_job(2)


async def test_many_at_once_never_pass_the_limit(jobs: Jobs) -> None:
    made = await asyncio.gather(
        *(jobs.store.create(a_job(number), max_queued=3) for number in range(20)), return_exceptions=True
    )
    assert sum(isinstance(job, Job) for job in made) == 3
    assert len(await jobs.store.active()) == 3


def a_restore(number: int = 1, **changes: Any) -> Job:
    return a_job(number, kind=JobKind.RESTORE, **changes)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
async def test_a_sole_job_is_refused_while_another_one_is_queued_or_running(jobs: Jobs, state: JobState) -> None:
    await jobs.store.create(a_restore(1), max_queued=9, sole=True)
    await jobs.store.update(a_restore(1, state=state))
    with pytest.raises(InputError) as caught:
        await jobs.store.create(a_restore(2), max_queued=9, sole=True)
    assert (caught.value.code, caught.value.job_id) == (Code.RESTORE_RUNNING, "job-0001")
    assert await jobs.store.get("job-0002") is None
    assert await jobs.store.active() == [a_restore(1, state=state)]


@pytest.mark.parametrize("end", [state for state in JobState if state.ended])
async def test_a_sole_job_that_has_ended_makes_way_for_the_next(jobs: Jobs, end: JobState) -> None:
    await jobs.store.create(a_restore(1), max_queued=9, sole=True)
    await jobs.store.update(a_restore(1, state=end))
    await jobs.store.create(a_restore(2), max_queued=9, sole=True)
    await jobs.store.update(a_restore(1, state=end))
    with pytest.raises(InputError) as caught:
        await jobs.store.create(a_restore(3), max_queued=9, sole=True)
    assert caught.value.job_id == "job-0002"


async def test_a_job_that_is_not_sole_neither_waits_nor_is_in_the_way(jobs: Jobs) -> None:
    await jobs.store.create(a_restore(1), max_queued=9)
    await jobs.store.create(a_restore(2), max_queued=9, sole=True)
    await jobs.store.create(a_restore(3), max_queued=9)
    await jobs.store.update(a_restore(3, state=JobState.FAILED))
    with pytest.raises(InputError) as caught:
        await jobs.store.create(a_restore(4), max_queued=9, sole=True)
    assert caught.value.job_id == "job-0002"


async def test_a_sole_job_of_another_kind_is_not_in_the_way(jobs: Jobs) -> None:
    await jobs.store.create(a_restore(1), max_queued=9, sole=True)
    await jobs.store.create(a_job(2), max_queued=9, sole=True)
    assert len(await jobs.store.active()) == 2


async def test_making_the_same_sole_record_again_changes_nothing(jobs: Jobs) -> None:
    for _ in range(2):
        await jobs.store.create(a_restore(), max_queued=1, sole=True)
    assert await jobs.store.page(limit=10) == ([a_restore()], 1)


async def test_a_sole_job_that_a_full_queue_refuses_is_not_in_the_way(jobs: Jobs) -> None:
    await jobs.store.create(a_job(1), max_queued=1)
    with pytest.raises(InputError) as caught:
        await jobs.store.create(a_restore(2), max_queued=1, sole=True)
    assert caught.value.code is Code.QUEUE_FULL
    await jobs.store.create(a_restore(3), max_queued=9, sole=True)


async def test_of_many_sole_jobs_at_once_one_passes(jobs: Jobs) -> None:
    made = await asyncio.gather(
        *(jobs.store.create(a_restore(number), max_queued=99, sole=True) for number in range(20)),
        return_exceptions=True,
    )
    [first] = await jobs.store.active()
    assert [job for job in made if isinstance(job, Job)] == [first]
    assert {error.job_id for error in made if isinstance(error, InputError)} == {first.job_id}


async def test_records_are_paged_newest_first(jobs: Jobs) -> None:
    for number in (3, 1, 4, 2, 5):
        await jobs.store.create(a_job(number), max_queued=9)
    assert await jobs.store.page(limit=2) == ([a_job(5), a_job(4)], 5)
    assert await jobs.store.page(limit=2, offset=3) == ([a_job(2), a_job(1)], 5)
    assert await jobs.store.page(limit=2, offset=9) == ([], 5)
    assert await jobs.store.page(limit=0) == ([], 5)


async def test_records_of_one_moment_are_paged_in_one_order(jobs: Jobs) -> None:
    moment = a_job().created_at
    for number in (2, 3, 1):
        await jobs.store.create(a_job(number, created_at=moment), max_queued=9)
    assert [job.job_id for job in (await jobs.store.page(limit=9))[0]] == ["job-0003", "job-0002", "job-0001"]


async def test_active_jobs_are_those_queued_or_running_oldest_first(jobs: Jobs) -> None:
    for number in (3, 1, 2):
        await jobs.store.create(a_job(number), max_queued=9)
    await jobs.store.update(a_job(3, state=JobState.RUNNING))
    await jobs.store.update(a_job(2, state=JobState.SUCCEEDED))
    assert await jobs.store.active() == [a_job(1), a_job(3, state=JobState.RUNNING)]


async def test_an_update_replaces_the_record(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=1)
    running = a_job(state=JobState.RUNNING, stage="volumes", progress=Progress(percent=12.5, bytes_done=7), fence=3)
    await jobs.store.update(running)
    assert await jobs.store.get(running.job_id) == running


async def test_an_update_of_nothing_is_refused(jobs: Jobs) -> None:
    with pytest.raises(InputError) as caught:
        await jobs.store.update(a_job())
    assert caught.value.code is Code.JOB_NOT_FOUND
    assert await jobs.store.page(limit=1) == ([], 0)


async def test_an_update_never_takes_a_cancel_request_back(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=1)
    cancelled = await jobs.store.request_cancel(a_job().job_id)
    assert cancelled == a_job(cancel_requested=True)
    await jobs.store.update(a_job(state=JobState.RUNNING))
    await jobs.store.update(a_job(state=JobState.RUNNING, stage="volumes"))
    assert await jobs.store.get(a_job().job_id) == a_job(state=JobState.RUNNING, stage="volumes", cancel_requested=True)


async def test_a_cancel_request_in_an_updated_record_stays_too(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=1)
    await jobs.store.update(a_job(state=JobState.RUNNING, cancel_requested=True))
    await jobs.store.update(a_job(state=JobState.RUNNING))
    job = await jobs.store.get(a_job().job_id)
    assert job is not None
    assert job.cancel_requested


@pytest.mark.parametrize("end", [state for state in JobState if state.ended])
async def test_an_ended_record_never_changes(jobs: Jobs, end: JobState) -> None:
    ended = a_job(state=end, result={"bytes": 1})
    await jobs.store.create(a_job(), max_queued=1)
    await jobs.store.update(ended)
    await jobs.store.update(a_job(state=JobState.RUNNING))
    await jobs.store.update(a_job(state=JobState.FAILED, cancel_requested=True))
    assert await jobs.store.request_cancel(ended.job_id) == ended
    assert await jobs.store.get(ended.job_id) == ended
    assert await jobs.store.active() == []


async def test_a_record_that_has_begun_is_not_changed_by_who_knows_less(jobs: Jobs) -> None:
    """Who looked before it began, or lost the lease since, writes what is not so any more."""
    running = a_job(state=JobState.RUNNING, fence=6)
    await jobs.store.create(a_job(), max_queued=1)
    await jobs.store.update(running)
    await jobs.store.update(a_job(state=JobState.CANCELLED))
    await jobs.store.update(a_job(state=JobState.FAILED, fence=5))
    assert await jobs.store.get(running.job_id) == running
    assert (await jobs.store.active(), await jobs.store.untold()) == ([running], [])
    ended = a_job(state=JobState.SUCCEEDED, fence=6)
    await jobs.store.update(ended)
    assert await jobs.store.get(running.job_id) == ended


async def test_fences_are_compared_as_numbers(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=1)
    for fence in (9, 10, 100):
        await jobs.store.update(a_job(state=JobState.RUNNING, fence=fence))
    job = await jobs.store.get(a_job().job_id)
    assert job is not None
    assert job.fence == 100
