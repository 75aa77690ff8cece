import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.errors import Code, JobError, UnavailableError
from app.jobs.base import Lease
from app.jobs.connection import RedisLink, open_link
from app.jobs.lease import RedisLease, RedisLeases
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async

NAMESPACE = "cell-backup:1"
KEY = f"{NAMESPACE}:lease:cell"
ROOT = Path(__file__).parents[3]


def _leases(link: RedisLink, seconds: float = 30) -> RedisLeases:
    return RedisLeases(link, namespace=NAMESPACE, seconds=seconds)


async def _left(link: RedisLink) -> int:
    return int(await link.run(lambda client: client.pttl(KEY)))


async def _refused(lease: Lease) -> None:
    with pytest.raises(JobError) as caught:
        await lease.check()
    assert caught.value.code is Code.WORKER_LOST


@asynccontextmanager
async def _holder_process(url: str, seconds: float) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.lease_holder",
        *(url, NAMESPACE, "cell", str(seconds)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _says(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def test_a_lease_is_renewed_while_its_block_runs(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _leases(link, 3).hold("cell", "me", on_lost=_never):
        await link.run(lambda client: client.pexpire(KEY, 2500))

        async def renewed() -> bool:
            return await _left(link) > 2500

        await eventually_async(renewed, what="the lease is renewed")


async def test_each_renewal_puts_the_end_off(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _leases(link).hold("cell", "me", on_lost=_never) as lease:
        assert isinstance(lease, RedisLease)
        before = lease._deadline
        await lease.check()
        assert lease._deadline > before


async def test_the_lease_of_a_stopped_holder_is_taken_over_and_the_holder_learns_of_it(redis_url: str) -> None:
    async with _holder_process(redis_url, seconds=1.2) as holder, open_link(redis_url, patience=0) as link:
        assert await _says(holder) == "holds 1"
        os.kill(holder.pid, signal.SIGSTOP)
        async with asyncio.timeout(30), _leases(link).hold("cell", "next", on_lost=_never) as lease:
            assert lease.fence == 2
            os.kill(holder.pid, signal.SIGCONT)
            assert await _says(holder) == "lost"
            assert await _says(holder) == "worker_lost"
            assert await holder.wait() == 0
            await lease.check()
            assert await _leases(link).holder("cell") == "next"


async def test_the_lease_of_a_killed_holder_runs_out(redis_url: str) -> None:
    async with _holder_process(redis_url, seconds=1.2) as holder, open_link(redis_url, patience=0) as link:
        assert await _says(holder) == "holds 1"
        holder.kill()
        async with asyncio.timeout(30), _leases(link).hold("cell", "next", on_lost=_never) as lease:
            assert lease.fence == 2


async def test_a_holder_that_finds_another_owner_is_told_once(redis_url: str) -> None:
    told: list[str] = []
    async with open_link(redis_url, patience=0) as link:
        async with _leases(link).hold("cell", "me", on_lost=lambda: told.append("lost")) as lease:
            await link.run(lambda client: client.set(KEY, "token:other"))
            await _refused(lease)
            await _refused(lease)
        assert told == ["lost"]
        assert await _leases(link).holder("cell") == "other"


async def test_an_asynchronous_callback_is_awaited_by_the_renewal(redis_url: str) -> None:
    lost = asyncio.Event()

    async def told() -> None:
        await asyncio.sleep(0)
        lost.set()

    async with open_link(redis_url, patience=0) as link, _leases(link, 0.6).hold("cell", "me", on_lost=told) as lease:
        await link.run(lambda client: client.delete(KEY))
        async with asyncio.timeout(30):
            await lost.wait()
        await _refused(lease)


async def test_the_error_of_a_callback_is_not_swallowed(redis_url: str) -> None:
    called = asyncio.Event()

    def told() -> None:
        called.set()
        raise ZeroDivisionError

    async def lose() -> None:
        async with open_link(redis_url, patience=0) as link, _leases(link, 0.6).hold("cell", "me", on_lost=told):
            await link.run(lambda client: client.delete(KEY))
            await called.wait()

    with pytest.raises(ZeroDivisionError):
        await lose()


async def test_a_server_that_is_killed_and_back_in_time_is_survived(own_redis: RedisServer) -> None:
    async with open_link(own_redis.url, patience=0) as link:
        async with _leases(link, 20).hold("cell", "me", on_lost=_never) as lease:
            own_redis.kill()
            checking = asyncio.create_task(lease.check())
            await asyncio.wait([checking], timeout=0.3)
            assert not checking.done()
            await asyncio.to_thread(own_redis.start)
            await checking
            assert await _leases(link).holder("cell") == "me"
            assert await _left(link) > 15_000
        assert await _leases(link).holder("cell") is None


@pytest.mark.parametrize("patience", [0, 3600])
async def test_a_server_that_stays_away_costs_the_lease(own_redis: RedisServer, patience: float) -> None:
    lost = asyncio.Event()
    async with (
        open_link(own_redis.url, patience=patience) as link,
        _leases(link, 0.9).hold("cell", "me", on_lost=lost.set) as lease,
    ):
        own_redis.kill()
        async with asyncio.timeout(30):
            await lost.wait()
        await _refused(lease)


async def test_a_server_that_stands_still_costs_the_lease(own_redis: RedisServer) -> None:
    lost = asyncio.Event()
    assert own_redis.process is not None
    async with (
        open_link(own_redis.url, patience=3600) as link,
        _leases(link, 0.9).hold("cell", "me", on_lost=lost.set) as lease,
    ):
        own_redis.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(30):
            await lost.wait()
        await _refused(lease)


async def test_the_fence_grows_over_a_restart_of_the_server(own_redis: RedisServer) -> None:
    async with open_link(own_redis.url, patience=10) as link:
        async with _leases(link).hold("cell", "me", on_lost=_never) as first:
            pass
        own_redis.kill()
        await asyncio.to_thread(own_redis.start)
        async with _leases(link).hold("cell", "me", on_lost=_never) as second:
            assert second.fence == first.fence + 1


async def test_waiting_is_refused_while_redis_is_away(own_redis: RedisServer) -> None:
    async with open_link(own_redis.url, patience=0) as link:
        own_redis.kill()
        with pytest.raises(UnavailableError):
            async with _leases(link).hold("cell", "me", on_lost=_never):
                pytest.fail("nobody gave a lease")


async def test_taking_the_lease_twice_for_a_lost_reply_gives_one_fence(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _leases(link).hold("cell", "me", on_lost=_never) as lease:
        assert isinstance(lease, RedisLease)
        await lease.acquire(f"{NAMESPACE}:fence:cell")  # as the link does when no answer came
        assert lease.fence == 1


def _never() -> None:
    pytest.fail("the lease was lost")
