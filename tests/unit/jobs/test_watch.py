"""The watch: no job runs that nobody works on, none waits for ever, and none that waits is lost."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.errors import Code, JobError, UnavailableError
from app.jobs.lost import settled
from app.jobs.records import Job, JobState
from app.jobs.rooms import MemoryJobs
from app.jobs.watch import Watch, watching
from app.settings import Settings
from tests.support.waiting import eventually_async
from tests.unit.jobs.jobs import a_job

LEASE = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Recovery:
    """Count how often the cell was to be put right; the first times fail."""

    def __init__(self, fails: int = 0) -> None:
        self.called = 0
        self.fails = fails

    async def __call__(self) -> None:
        self.called += 1
        if self.called <= self.fails:
            raise JobError(Code.WORKER_LOST, "The recovery lost the right to work on this cell.")


class Scene:
    """Hold a job room, a watch and its clock."""

    def __init__(self, root: Path, recovery: Recovery | None = None) -> None:
        self.jobs = MemoryJobs()
        self.clock = Clock()
        self.settings = Settings(cell_root=root, state_dir=root / "state", lease_seconds=LEASE, queue_timeout=3600)
        self.watch = Watch(self.jobs.as_jobs(), self.settings, recovery, clock=self.clock)

    @property
    def cell(self) -> str:
        return str(self.settings.cell_root)

    async def add(self, job: Job) -> None:
        await self.jobs.store.create(a_job(created_at=job.created_at), max_queued=9)
        await self.jobs.store.update(job)

    async def look(self, times: int = 1, *, pause: float = 5.0) -> None:
        for _ in range(times):
            self.clock.now += pause
            await self.watch.look()
            await asyncio.sleep(0)

    async def run_and_die(self) -> None:
        """Leave a job as a worker does that is killed: it says that it runs, and its lease runs out."""
        async with self.jobs.leases.hold(self.cell, "job", on_lost=lambda: None) as lease:
            await self.add(a_job(state=JobState.RUNNING, fence=lease.fence))

    async def shown(self) -> Job:
        job = await self.jobs.store.get(a_job().job_id)
        assert job is not None
        return await settled(job, self.cell, self.jobs.store, self.jobs.leases)


def waiting_for(seconds: float) -> Job:
    return a_job(created_at=datetime.now(UTC) - timedelta(seconds=seconds))


async def test_a_job_that_nobody_works_on_shows_as_lost_after_half_a_lease_of_looks(tmp_path: Path) -> None:
    scene = Scene(tmp_path, recovery := Recovery())
    await scene.run_and_die()
    await scene.look(3)
    assert (await scene.shown()).state is JobState.RUNNING
    assert recovery.called == 0
    await scene.look()
    shown = await scene.shown()
    assert (shown.state, shown.finished_at) == (JobState.FAILED, None)
    assert shown.error is not None
    assert shown.error.code == Code.WORKER_LOST
    assert recovery.called == 1


async def test_without_a_worker_it_shows_as_lost_all_the_same(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.run_and_die()
    await scene.look(4)
    assert (await scene.shown()).state is JobState.FAILED


async def test_a_job_whose_worker_lives_is_left_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, recovery := Recovery())
    async with scene.jobs.leases.hold(scene.cell, "job", on_lost=lambda: None) as lease:
        await scene.add(a_job(state=JobState.RUNNING, fence=lease.fence))
        await scene.look(50)
        await lease.check()
    assert (await scene.shown()).state is JobState.RUNNING
    assert recovery.called == 0


async def test_a_look_that_comes_late_or_fails_gives_the_worker_its_time_again(tmp_path: Path) -> None:
    """Redis was away, or this process was stopped: the worker needs a moment to come back."""
    scene = Scene(tmp_path)
    await scene.run_and_die()
    await scene.look(3)
    await scene.look(pause=300)
    await scene.look(2)
    scene.watch.forget()
    await scene.look(3)
    assert (await scene.shown()).state is JobState.RUNNING
    await scene.look()
    assert (await scene.shown()).state is JobState.FAILED


async def test_a_recovery_that_fails_is_tried_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, recovery := Recovery(fails=2))
    await scene.run_and_die()
    await scene.look(6)
    assert recovery.called == 3


async def test_one_recovery_at_a_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    called: list[int] = []

    async def for_ever() -> None:
        called.append(1)
        await asyncio.Event().wait()

    scene.watch = Watch(scene.jobs.as_jobs(), scene.settings, for_ever, clock=scene.clock)
    await scene.run_and_die()
    await scene.look(9)
    assert called == [1]
    await scene.watch.close()


async def test_a_job_that_waits_too_long_is_ended_and_its_key_dropped(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    job = waiting_for(3601)
    await scene.add(job)
    await scene.jobs.secrets.seal(job.job_id, b"a data key")
    await scene.jobs.secrets.seal(f"{job.job_id}.webhook", b"a webhook's secret")
    await scene.look()
    ended = await scene.shown()
    assert (ended.state, ended.finished_at is not None) == (JobState.FAILED, True)
    assert ended.error is not None
    assert ended.error.code == Code.WAITED_TOO_LONG
    assert list(scene.jobs.secrets._secrets) == [f"{job.job_id}.webhook"]
    assert [job.job_id for job in await scene.jobs.store.untold()] == [job.job_id]


async def test_a_job_that_the_queue_does_not_have_is_queued_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.add(waiting_for(3000))
    await scene.look(2)
    assert [job.job_id for job in scene.jobs.queue.enqueued] == [a_job().job_id]
    assert (await scene.shown()).state is JobState.QUEUED


async def test_the_watch_goes_on_after_redis_was_away_and_after_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    errors: list[Exception] = [UnavailableError(Code.REDIS_UNAVAILABLE, "Away."), ZeroDivisionError()]
    active = scene.jobs.store.active

    async def sometimes() -> list[Job]:
        if errors:
            raise errors.pop()
        return await active()

    monkeypatch.setattr(scene.jobs.store, "active", sometimes)
    await scene.add(waiting_for(0))
    settings = scene.settings.model_copy(update={"lease_seconds": 0.01})
    async with watching(scene.jobs.as_jobs(), settings):

        async def queued() -> bool:
            return bool(scene.jobs.queue.enqueued)

        await eventually_async(queued, what="the job is queued again")
    assert errors == []


async def test_a_job_that_begins_as_it_is_ended_for_waiting_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    waits = waiting_for(3601)
    await scene.jobs.store.create(waits, max_queued=9)
    await scene.jobs.secrets.seal(waits.job_id, b"secret")
    running = replace(waits, state=JobState.RUNNING, fence=1)
    known = scene.jobs.queue.known

    async def begun_meanwhile() -> set[str]:
        await scene.jobs.store.update(running)
        return await known()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene.jobs.queue, "known", begun_meanwhile)
        await scene.watch.look()
    assert await scene.jobs.store.get(waits.job_id) == running
    assert await scene.jobs.secrets.open(waits.job_id) == b"secret"
