"""What both job rooms do with the queue, leases and secrets."""

import asyncio

import pytest

from app.errors import Code, JobError
from app.jobs.rooms import Jobs
from tests.unit.jobs.jobs import a_job

# --- queue


async def test_a_job_can_be_queued_and_queued_again(jobs: Jobs) -> None:
    await jobs.queue.enqueue(a_job())
    await jobs.queue.enqueue(a_job())


# --- leases


async def test_a_lease_has_a_holder_and_a_growing_fence(jobs: Jobs) -> None:
    assert await jobs.leases.holder("cell") is None
    async with jobs.leases.hold("cell", "worker:1 (host)", on_lost=_never) as first:
        assert await jobs.leases.holder("cell") == "worker:1 (host)"
        await first.check()
    assert await jobs.leases.holder("cell") is None
    async with jobs.leases.hold("cell", "worker:2", on_lost=_never) as second:
        assert second.fence > first.fence


async def test_a_second_owner_waits_until_the_lease_is_free(jobs: Jobs) -> None:
    order: list[str] = []

    async def work(owner: str) -> None:
        async with jobs.leases.hold("cell", owner, on_lost=_never):
            order.append(f"{owner} in")
            assert await jobs.leases.holder("cell") == owner
            order.append(f"{owner} out")

    async with jobs.leases.hold("cell", "first", on_lost=_never):
        others = [asyncio.create_task(work(name)) for name in ("a", "b")]
        await asyncio.wait(others, timeout=0.05)
        assert order == []
    await asyncio.gather(*others)
    assert sorted(order) == ["a in", "a out", "b in", "b out"]
    assert order[0].split()[0] == order[1].split()[0]


async def test_two_cells_have_a_lease_each(jobs: Jobs) -> None:
    async with jobs.leases.hold("one", "a", on_lost=_never), jobs.leases.hold("two", "b", on_lost=_never):
        assert (await jobs.leases.holder("one"), await jobs.leases.holder("two")) == ("a", "b")


async def test_waiting_for_a_lease_can_be_cancelled(jobs: Jobs) -> None:
    async def wait() -> None:
        async with jobs.leases.hold("cell", "second", on_lost=_never):
            pytest.fail("the lease was held")

    async with jobs.leases.hold("cell", "first", on_lost=_never) as lease:
        waiting = asyncio.create_task(wait())
        await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await lease.check()
        assert await jobs.leases.holder("cell") == "first"


async def test_a_lease_is_given_back_when_its_block_fails(jobs: Jobs) -> None:
    with pytest.raises(ZeroDivisionError):
        async with jobs.leases.hold("cell", "first", on_lost=_never):
            raise ZeroDivisionError
    assert await jobs.leases.holder("cell") is None


async def test_the_newest_number_is_that_of_the_last_lease(jobs: Jobs) -> None:
    assert await jobs.leases.fence("cell") == 0
    for _ in range(2):
        async with jobs.leases.hold("cell", "worker", on_lost=_never) as lease:
            assert await jobs.leases.fence("cell") == lease.fence
    assert await jobs.leases.fence("cell") == lease.fence
    assert await jobs.leases.fence("another") == 0


async def test_a_holder_is_not_condemned(jobs: Jobs) -> None:
    async with jobs.leases.hold("cell", "worker", on_lost=_never) as lease:
        assert not await jobs.leases.condemn("cell", lease.fence)
        assert await jobs.leases.fence("cell") == lease.fence
        await lease.check()


async def test_condemning_a_number_makes_a_newer_one_once(jobs: Jobs) -> None:
    async with jobs.leases.hold("cell", "worker", on_lost=_never) as old:
        pass
    for _ in range(2):
        assert await jobs.leases.condemn("cell", old.fence)
        assert await jobs.leases.fence("cell") == old.fence + 1
    async with jobs.leases.hold("cell", "worker", on_lost=_never) as new:
        assert new.fence > old.fence + 1


def _never() -> None:
    pytest.fail("the lease was lost")


# --- secrets


async def test_a_secret_is_there_until_it_is_dropped(jobs: Jobs) -> None:
    await _gone(jobs, "job-0001")
    await jobs.secrets.seal("job-0001", b"correct horse\0\xff")
    for _ in range(2):  # an answer may be lost on its way
        assert await jobs.secrets.open("job-0001") == b"correct horse\0\xff"


async def test_a_dropped_secret_is_gone(jobs: Jobs) -> None:
    await jobs.secrets.seal("job-0001", b"correct horse")
    await jobs.secrets.drop("job-0001")
    await jobs.secrets.drop("job-0001")
    await _gone(jobs, "job-0001")


async def test_each_job_has_its_own_secret(jobs: Jobs) -> None:
    await jobs.secrets.seal("a", b"one")
    await jobs.secrets.seal("b", b"two")
    assert (await jobs.secrets.open("b"), await jobs.secrets.open("a")) == (b"two", b"one")


async def test_the_keeper_answers(jobs: Jobs) -> None:
    await jobs.secrets.ping()


async def _gone(jobs: Jobs, job_id: str) -> None:
    with pytest.raises(JobError) as caught:
        await jobs.secrets.open(job_id)
    assert caught.value.code is Code.SECRET_GONE
