"""One job from lease to end state: its record is never lost, whatever the work does."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.errors import Code, InputError, JobError
from app.jobs.records import JobState
from tests.faults.house import JOB_ID, House
from workers.running import Ending, JobRun, run_job

DONE = Ending(JobState.PARTIAL, {"backup_id": "x"})


async def well(run: JobRun) -> Ending:
    with run.stage("only"):
        run.meter.bytes, run.meter.files = 10, 1
        run.warnings.append("odd")
    return DONE


async def test_a_job_that_ends_well(house: House) -> None:
    queued = await house.queue(label="mine")
    job = await house.work(well)
    assert (job.state, job.result, job.error) == (JobState.PARTIAL, {"backup_id": "x"}, None)
    assert (job.stage, job.warnings, job.fence) == ("only", ("odd",), 1)
    assert (job.progress.percent, job.progress.bytes_done, job.progress.files_done) == (100, 10, 1)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert queued.created_at <= job.started_at <= job.finished_at
    assert (job.request, job.created_at) == (queued.request, queued.created_at)


async def test_a_running_job_shows_what_it_does(house: House) -> None:
    part = PartResult(Part(PartKind.COMPONENT, "vault"), PartOutcome.RUNNING)
    go_on = asyncio.Event()

    async def work(run: JobRun) -> Ending:
        with run.stage("components"):
            run.parts.append(part)
            run.meter.bytes = 7
            await go_on.wait()
        run.parts[-1] = replace(part, outcome=PartOutcome.SUCCEEDED)
        return DONE

    await house.queue()
    running = asyncio.create_task(house.work(work))
    seen = await house.seen_in("components")
    assert (seen.state, seen.components, seen.progress.bytes_done) == (JobState.RUNNING, (part,), 7)
    assert await house.jobs.leases.holder(str(house.root)) == JOB_ID
    go_on.set()
    assert (await running).components[0].outcome is PartOutcome.SUCCEEDED
    assert await house.jobs.leases.holder(str(house.root)) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobError(Code.DISK_FULL, "Full."), Code.DISK_FULL),
        (InputError(Code.BACKUP_NOT_FOUND, "Gone."), Code.BACKUP_NOT_FOUND),
        (ZeroDivisionError("password=hunter2"), Code.INTERNAL),
        (TimeoutError("a disk that did not answer"), Code.INTERNAL),
        (OSError(5, "Input/output error"), Code.INTERNAL),
    ],
)
async def test_every_error_is_recorded(house: House, error: Exception, code: Code) -> None:
    async def work(run: JobRun) -> Ending:
        run.parts.append(PartResult(Part(PartKind.COMPONENT, "vault"), PartOutcome.RUNNING))
        raise error

    await house.queue()
    job = await house.work(work)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == code
    assert job.error.hint
    assert "hunter2" not in job.error.message
    assert job.finished_at is not None
    assert job.progress.percent < 100
    (given_up,) = job.components
    assert given_up.outcome is PartOutcome.FAILED
    assert given_up.error is not None
    assert given_up.error.code == code


async def test_an_error_after_the_purpose_is_fulfilled_is_not_a_failure(house: House) -> None:
    async def work(run: JobRun) -> Ending:
        run.settle(DONE)
        raise OSError(5, "Input/output error")

    await house.queue()
    job = await house.work(work)
    assert (job.state, job.result, job.error) == (JobState.PARTIAL, {"backup_id": "x"}, None)


async def test_the_limit_is_that_of_the_settings(house: House) -> None:
    async def work(run: JobRun) -> Ending:
        del run
        await asyncio.Event().wait()
        return DONE

    house.configure(job_timeout=0.01)
    await house.queue()
    job = await house.work(work)
    assert job.error is not None
    assert job.error.code == Code.JOB_TIMEOUT


async def never(run: JobRun) -> Ending:
    raise AssertionError(f"{run.job.job_id} must not run")


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED])
async def test_a_job_that_has_ended_is_not_run(house: House, state: JobState) -> None:
    ended = replace(await house.queue(), state=state)
    await house.jobs.store.update(ended)
    assert await house.work(never) == ended


async def test_an_unknown_job_is_not_run(house: House) -> None:
    await run_job(house.tools, JOB_ID, never)


@pytest.mark.parametrize("ended", [True, False])
async def test_a_job_that_is_cancelled_while_it_waits_for_the_lease_is_not_run(house: House, *, ended: bool) -> None:
    """The API ends the record of a job that waits; where it only could ask, the worker ends it."""
    queued = await house.queue()
    async with house.jobs.leases.hold(str(house.root), "somebody else", on_lost=lambda: None):
        waiting = asyncio.create_task(house.work(never))
        await asyncio.sleep(0)
        await house.jobs.store.request_cancel(JOB_ID)
        if ended:
            await house.jobs.store.update(replace(queued, state=JobState.CANCELLED, cancel_requested=True))
    job = await waiting
    assert job.state is JobState.CANCELLED
    assert job.started_at is None


async def test_one_job_after_the_other(house: House) -> None:
    order: list[str] = []
    go_on = asyncio.Event()

    async def first(run: JobRun) -> Ending:
        order.append("first")
        with run.stage("waiting"):
            await go_on.wait()
        order.append("first ends")
        return DONE

    async def second(run: JobRun) -> Ending:
        del run
        order.append("second")
        return DONE

    queued = await house.queue()
    other = replace(queued, job_id="2" * 32)
    await house.jobs.store.create(other, max_queued=5)
    running = asyncio.create_task(house.work(first))
    await house.seen_in("waiting")
    waiting = asyncio.create_task(run_job(house.tools, other.job_id, second))
    await asyncio.sleep(0.05)
    assert order == ["first"]
    go_on.set()
    await asyncio.gather(running, waiting)
    assert order == ["first", "first ends", "second"]


@pytest.mark.parametrize("how", ["well", "badly", "never begun"])
async def test_the_secret_is_gone_afterwards(house: House, how: str) -> None:
    async def work(run: JobRun) -> Ending:
        if how == "badly":
            raise ZeroDivisionError
        return await well(run)

    await house.queue()
    await house.jobs.secrets.seal(JOB_ID, b"a data key")
    if how == "never begun":
        await house.jobs.store.request_cancel(JOB_ID)
    await house.work(work)
    assert house.jobs.secrets._secrets == {}


async def test_a_worker_that_is_shut_down_while_a_job_waits_for_the_lease_leaves_it_waiting(house: House) -> None:
    queued = await house.queue()
    await house.jobs.secrets.seal(JOB_ID, b"a data key")
    async with house.jobs.leases.hold(str(house.root), "somebody else", on_lost=lambda: None):
        waiting = asyncio.create_task(house.work(never))
        await asyncio.sleep(0)
        waiting.cancel()
        assert await waiting == queued
    assert await house.jobs.secrets.open(JOB_ID) == b"a data key"
    assert (await house.work(well)).state is JobState.PARTIAL


async def test_a_job_that_another_worker_began_is_not_begun_again(house: House) -> None:
    begun = replace(await house.queue(), state=JobState.RUNNING, fence=7)
    async with house.jobs.leases.hold(str(house.root), "somebody else", on_lost=lambda: None):
        waiting = asyncio.create_task(house.work(never))
        await asyncio.sleep(0)
        await house.jobs.store.update(begun)
    assert await waiting == begun


async def test_the_job_of_a_dead_worker_is_ended_before_the_next_one_works(house: House) -> None:
    dead = replace(await house.queue(), job_id="2" * 32)
    await house.jobs.store.create(dead, max_queued=5)
    async with house.jobs.leases.hold(str(house.root), dead.job_id, on_lost=lambda: None) as lease:
        await house.jobs.store.update(replace(dead, state=JobState.RUNNING, fence=lease.fence))

    async def work(run: JobRun) -> Ending:
        ended = await house.record(dead.job_id)
        assert ended.state is JobState.FAILED
        assert ended.error is not None
        assert ended.error.code == Code.WORKER_LOST
        return await well(run)

    assert (await house.work(work)).state is JobState.PARTIAL


async def test_old_records_are_forgotten(house: House) -> None:
    house.configure(job_history=2)
    queued = await house.queue()
    for number in range(5):
        old = replace(queued, job_id=f"old-{number}", created_at=queued.created_at - timedelta(hours=1))
        await house.jobs.store.create(old, max_queued=9)
        await house.jobs.store.update(replace(old, state=JobState.FAILED))
        await house.jobs.store.mark_told(old.job_id)
        await house.jobs.store.mark_told(old.job_id)
    await house.work(well)
    jobs, total = await house.jobs.store.page(limit=10)
    assert total == 2
    assert [job.job_id for job in jobs] == [JOB_ID, "old-4"]
