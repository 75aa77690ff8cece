"""What both job rooms do with a request that comes twice."""

import asyncio
from typing import Any

import pytest

from app.errors import Code, InputError
from app.jobs.records import Idempotency, Job, JobKind, JobState
from app.jobs.rooms import Jobs
from tests.unit.jobs.jobs import a_job

ASKED = Idempotency("key", "fingerprint")
OTHERWISE = Idempotency("key", "another fingerprint")


async def made(jobs: Jobs, number: int = 1, *, asked: Idempotency = ASKED, **more: Any) -> Job:
    return await jobs.store.create(a_job(number), **{"max_queued": 9, "idempotency": asked, **more})


async def test_making_a_record_gives_it(jobs: Jobs) -> None:
    assert await jobs.store.create(a_job(1), max_queued=9) == a_job(1)
    assert await made(jobs, 2) == a_job(2)


async def test_a_request_that_comes_again_gets_the_job_it_made(jobs: Jobs) -> None:
    await made(jobs, 1)
    assert await made(jobs, 2) == a_job(1)
    assert await jobs.store.page(limit=9) == ([a_job(1)], 1)


async def test_the_earlier_job_is_given_as_it_is_now(jobs: Jobs) -> None:
    await made(jobs, 1)
    await jobs.store.update(a_job(1, state=JobState.RUNNING, stage="volumes"))
    await jobs.store.request_cancel("job-0001")
    now = a_job(1, state=JobState.RUNNING, stage="volumes", cancel_requested=True)
    assert await made(jobs, 2) == now
    assert await jobs.store.made_before(ASKED) == now
    await jobs.store.update(a_job(1, state=JobState.CANCELLED))
    assert (await made(jobs, 2)).state is JobState.CANCELLED


async def test_a_key_that_asked_for_something_else_is_refused(jobs: Jobs) -> None:
    await made(jobs, 1)
    with pytest.raises(InputError) as caught:
        await made(jobs, 2, asked=OTHERWISE)
    assert caught.value.code is Code.IDEMPOTENCY_CONFLICT
    with pytest.raises(InputError) as caught:
        await jobs.store.made_before(OTHERWISE)
    assert caught.value.code is Code.IDEMPOTENCY_CONFLICT
    assert await jobs.store.page(limit=9) == ([a_job(1)], 1)


async def test_another_key_makes_another_job(jobs: Jobs) -> None:
    await made(jobs, 1)
    assert await made(jobs, 2, asked=Idempotency("other key", "fingerprint")) == a_job(2)


async def test_a_request_that_never_came_made_nothing(jobs: Jobs) -> None:
    await jobs.store.create(a_job(1), max_queued=9)
    assert await jobs.store.made_before(ASKED) is None


async def test_a_request_that_comes_again_is_answered_by_a_full_queue(jobs: Jobs) -> None:
    await made(jobs, 1, max_queued=1)
    assert await made(jobs, 2, max_queued=1) == a_job(1)
    with pytest.raises(InputError) as caught:
        await made(jobs, 2, asked=OTHERWISE, max_queued=1)
    assert caught.value.code is Code.IDEMPOTENCY_CONFLICT


async def test_a_request_for_a_sole_job_that_comes_again_is_not_in_its_own_way(jobs: Jobs) -> None:
    first = a_job(1, kind=JobKind.RESTORE)
    for number in (1, 2):
        job = a_job(number, kind=JobKind.RESTORE)
        assert await jobs.store.create(job, max_queued=9, sole=True, idempotency=ASKED) == first


@pytest.mark.parametrize("sole", [False, True])
async def test_a_request_that_was_refused_may_come_again(jobs: Jobs, *, sole: bool) -> None:
    await jobs.store.create(a_job(1), max_queued=9, sole=True)
    with pytest.raises(InputError) as caught:
        await made(jobs, 2, max_queued=1, sole=sole)
    assert caught.value.code is (Code.RESTORE_RUNNING if sole else Code.QUEUE_FULL)
    assert await jobs.store.made_before(ASKED) is None
    await jobs.store.update(a_job(1, state=JobState.FAILED))
    assert await made(jobs, 2, max_queued=1, sole=sole) == a_job(2)


async def test_a_request_whose_job_is_forgotten_makes_a_new_one(jobs: Jobs) -> None:
    await made(jobs, 1)
    await jobs.store.update(a_job(1, state=JobState.SUCCEEDED))
    await jobs.store.mark_told("job-0001")
    await jobs.store.forget_old(0)
    assert await jobs.store.made_before(OTHERWISE) is None
    assert await made(jobs, 2, asked=OTHERWISE) == a_job(2)
    assert await jobs.store.made_before(OTHERWISE) == a_job(2)


async def test_of_one_request_many_times_at_once_comes_one_job(jobs: Jobs) -> None:
    answers = await asyncio.gather(*(made(jobs, number, max_queued=99) for number in range(20)))
    [job] = await jobs.store.active()
    assert answers == [job] * 20


async def test_a_record_that_is_made_again_after_it_changed_is_given_as_it_is(jobs: Jobs) -> None:
    """A reply that was lost on its way has the script run twice, and a worker may have been quick."""
    await jobs.store.create(a_job(), max_queued=1)
    running = a_job(state=JobState.RUNNING)
    await jobs.store.update(running)
    assert await jobs.store.create(a_job(), max_queued=1) == running
    assert await jobs.store.get("job-0001") == running
