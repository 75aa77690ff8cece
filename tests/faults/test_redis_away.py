"""Redis that is away for a while: the job goes on, and its record is right afterwards."""

import asyncio
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from app.errors import Code, UnavailableError
from app.jobs.memory import MemoryJobStore
from app.jobs.records import Idempotency, Job, JobState
from tests.faults.house import House, assert_failed, tar_of
from tests.faults.proof import prove
from workers.backup import backup
from workers.maintenance import recover_cell
from workers.running import Ending, JobRun

MAIL = tar_of({"ada/1": b"a" * 700})


@dataclass
class AwayStore(MemoryJobStore):
    """Refuse the next so many updates, and count them."""

    inner: MemoryJobStore
    refuse: int = 0
    unreadable: int = 0
    refused: int = field(default=0, init=False)
    noticed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @override
    async def create(
        self, job: Job, *, max_queued: int, sole: bool = False, idempotency: Idempotency | None = None
    ) -> Job:
        return await self.inner.create(job, max_queued=max_queued, sole=sole, idempotency=idempotency)

    @override
    async def get(self, job_id: str) -> Job | None:
        if self.unreadable:
            self.unreadable -= 1
            raise UnavailableError(Code.REDIS_UNAVAILABLE, "Redis cannot be reached.")
        return await self.inner.get(job_id)

    @override
    async def active(self) -> list[Job]:
        return await self.inner.active()

    @override
    async def forget_old(self, keep: int) -> None:
        await self.inner.forget_old(keep)

    @override
    async def update(self, job: Job) -> None:
        if self.refuse:
            self.refuse -= 1
            self.refused += 1
            self.noticed.set()
            raise UnavailableError(Code.REDIS_UNAVAILABLE, "Redis cannot be reached.")
        await self.inner.update(job)


@pytest.fixture
def away(house: House) -> AwayStore:
    house.job_store = away = AwayStore(house.jobs.store)
    house.add_mail(MAIL)
    return away


def assert_succeeded(house: House, job: Job) -> None:
    assert job.state is JobState.SUCCEEDED
    assert job.progress.percent == 100
    assert job.result is not None
    prove(house)


async def test_away_while_the_job_runs(house: House, away: AwayStore) -> None:
    async def work(run: JobRun) -> Ending:
        away.refuse = 2
        await away.noticed.wait()
        return await backup(run)

    await house.queue()
    assert_succeeded(house, await house.work(work))


async def test_away_when_the_end_is_recorded(house: House, away: AwayStore) -> None:
    async def work(run: JobRun) -> Ending:
        ending = await backup(run)
        away.refuse = 2
        return ending

    await house.queue()
    assert_succeeded(house, await house.work(work))
    assert away.refused == 2


async def test_away_when_a_failure_is_recorded(house: House, away: AwayStore) -> None:
    async def work(run: JobRun) -> Ending:
        del run
        away.refuse = 2
        raise ZeroDivisionError

    await house.queue()
    await assert_failed(house, await house.work(work), Code.INTERNAL)


async def test_lease_that_is_lost_while_the_end_is_recorded_does_not_lose_the_record(
    house: House, away: AwayStore
) -> None:
    async def work(run: JobRun) -> Ending:
        ending = await backup(run)
        away.refuse = 2
        return ending

    await house.queue()
    running = asyncio.create_task(house.work(work))
    await away.noticed.wait()
    await house.jobs.leases.lose(str(house.root))
    assert_succeeded(house, await running)


async def test_worker_that_is_shut_down_while_the_end_is_recorded_does_not_lose_the_record(
    house: House, away: AwayStore
) -> None:
    async def work(run: JobRun) -> Ending:
        ending = await backup(run)
        away.refuse = 2
        return ending

    await house.queue()
    running = asyncio.create_task(house.work(work))
    await away.noticed.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert_succeeded(house, await house.record())


async def test_away_when_the_job_begins(house: House, away: AwayStore) -> None:
    away.refuse = 2
    await house.queue()
    assert_succeeded(house, await house.work())
    assert away.refused == 2


async def test_away_while_the_job_is_to_publish(house: House, away: AwayStore) -> None:
    async def work(run: JobRun) -> Ending:
        away.unreadable = 2
        await run.check_may_publish()
        assert away.unreadable == 0
        return await backup(run)

    await house.queue()
    assert_succeeded(house, await house.work(work))


async def test_a_worker_that_is_to_end_does_not_wait_for_ever(
    house: House, away: AwayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever recovers the cell records the end: the archive says that it was published."""
    monkeypatch.setattr("workers.patience.LAST_SECONDS", 0.01)
    house.stopping.set()

    async def work(run: JobRun) -> Ending:
        ending = await backup(run)
        away.refuse = 1_000_000
        return ending

    await house.queue()
    assert (await house.work(work)).state is JobState.RUNNING
    away.refuse = 0
    await recover_cell(house.tools)
    assert_succeeded(house, await house.record())
