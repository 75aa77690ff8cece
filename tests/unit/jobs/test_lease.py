import asyncio
import math
import os
import signal
import sys
import time
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


async def _is_short(link: RedisLink) -> bool:
    return await _left(link) <= 300_000


async def _held_by(link: RedisLink, owner: str) -> bool:
    return await _leases(link).holder("cell") == owner


async def _expires(link: RedisLink) -> int:
    return int(time.time() * 1000) + await _left(link)


async def _past(milliseconds: int) -> bool:
    return time.time() * 1000 > milliseconds


async def _hold_once(link: RedisLink, seconds: float, owner: str) -> None:
    async with _leases(link, seconds).hold("cell", owner, on_lost=_never):
        pass


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


async def test_each_check_puts_the_end_off(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _leases(link).hold("cell", "me", on_lost=_never) as lease:
        await link.run(lambda client: client.pexpire(KEY, 5000))
        await lease.check()
        assert await _left(link) > 25_000


async def test_a_lease_that_ran_out_is_taken_up_again(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _leases(link, 1.2).hold("cell", "me", on_lost=_never) as lease:
        await link.run(lambda client: client.delete(KEY))
        await lease.check()
        assert await _leases(link).holder("cell") == "me"
        await link.run(lambda client: client.delete(KEY))
        await eventually_async(lambda: _held_by(link, "me"), what="the lease is renewed by itself")
        assert (lease.fence, await _leases(link).fence("cell")) == (1, 1)


async def test_who_waits_lets_the_holder_come_back(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _leases(link, 3).hold("cell", "me", on_lost=_never):
        waiting = asyncio.create_task(_hold_once(link, 3, "next"))
        await link.run(lambda client: client.delete(KEY))
        await eventually_async(lambda: _held_by(link, "me"), what="the holder is back")
        assert not waiting.done()
        assert await _leases(link).fence("cell") == 1
        waiting.cancel()


async def test_a_condemned_holder_never_comes_back(redis_url: str) -> None:
    told: list[str] = []
    async with open_link(redis_url, patience=0) as link:
        leases = _leases(link)
        assert await leases.fence("cell") == 0
        async with leases.hold("cell", "me", on_lost=lambda: told.append("lost")) as lease:
            assert not await leases.condemn("cell", lease.fence)
            await link.run(lambda client: client.delete(KEY))
            assert await leases.condemn("cell", lease.fence)
            assert await leases.condemn("cell", lease.fence)  # as the link does when no answer came
            assert await leases.fence("cell") == lease.fence + 1
            await _refused(lease)
            assert await leases.holder("cell") is None
        assert told == ["lost"]
        async with asyncio.timeout(30), leases.hold("cell", "next", on_lost=_never) as lease:
            assert lease.fence == 3
            assert not await leases.condemn("cell", 1)


async def test_a_lease_that_was_given_back_is_taken_at_once(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:
        async with _leases(link, 3600).hold("cell", "me", on_lost=_never):
            # it ran out while Redis was away, and is given back before anybody has renewed it
            await link.run(lambda client: client.delete(KEY))
        async with asyncio.timeout(30), _leases(link, 3600).hold("cell", "next", on_lost=_never) as lease:
            assert lease.fence == 2


async def test_the_lease_of_a_stopped_holder_is_taken_over_and_the_holder_learns_of_it(redis_url: str) -> None:
    async with _holder_process(redis_url, seconds=1.2) as holder, open_link(redis_url, patience=0) as link:
        assert await _says(holder) == "holds 1"
        os.kill(holder.pid, signal.SIGSTOP)
        async with asyncio.timeout(30), _leases(link).hold("cell", "next", on_lost=_never) as lease:
            assert lease.fence > 1
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
            assert lease.fence > 1


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
        await link.run(lambda client: client.set(KEY, "token:other"))
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
            await link.run(lambda client: client.set(KEY, "token:other"))
            await called.wait()

    with pytest.raises(ZeroDivisionError):
        await lose()


@pytest.mark.parametrize("patience", [0, math.inf])
async def test_a_server_that_is_away_for_longer_than_the_lease_costs_nothing(
    own_redis: RedisServer, patience: float
) -> None:
    async with open_link(own_redis.url, patience=patience) as link:
        async with _leases(link, 1.2).hold("cell", "me", on_lost=_never) as lease:
            expires = await _expires(link)
            own_redis.kill()
            checking = asyncio.create_task(lease.check())
            await eventually_async(lambda: _past(expires), what="the lease has run out")
            assert not checking.done()
            await asyncio.to_thread(own_redis.start)
            await checking
            assert await _leases(link).holder("cell") == "me"
            assert lease.fence == 1
        assert await _leases(link).holder("cell") is None


async def test_a_server_that_stands_still_for_longer_than_the_lease_costs_nothing(own_redis: RedisServer) -> None:
    assert own_redis.process is not None
    async with (
        open_link(own_redis.url, patience=math.inf) as link,
        _leases(link, 1.2).hold("cell", "me", on_lost=_never) as lease,
    ):
        expires = await _expires(link)
        own_redis.process.send_signal(signal.SIGSTOP)
        checking = asyncio.create_task(lease.check())
        await eventually_async(lambda: _past(expires), what="the lease has run out")
        assert not checking.done()
        own_redis.process.send_signal(signal.SIGCONT)
        await checking
        assert await _leases(link).holder("cell") == "me"


async def test_a_check_that_waits_can_be_cancelled(own_redis: RedisServer) -> None:
    async with (
        open_link(own_redis.url, patience=math.inf) as link,
        _leases(link).hold("cell", "me", on_lost=_never) as lease,
    ):
        own_redis.kill()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await lease.check()


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
        await lease.acquire()  # as the link does when no answer came
        assert lease.fence == 1


def _never() -> None:
    pytest.fail("the lease was lost")


@pytest.mark.parametrize("look", ["holder", "wait"])
async def test_a_lease_that_a_clock_set_back_made_longer_is_cut_short(redis_url: str, look: str) -> None:
    """Redis keeps the moment of its end: a dead holder would have the cell for as long as the clock went back."""
    async with open_link(redis_url, patience=0) as link:
        token = f"{'0' * 32}-300000:dead"
        await link.run(lambda client: client.set(KEY, token, px=3_600_000))
        if look == "holder":
            assert await _leases(link).holder("cell") == "dead"
        else:
            waiting = asyncio.create_task(_hold_once(link, 30, "next"))
            await eventually_async(lambda: _is_short(link), what="it is cut short")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert 0 < await _left(link) <= 300_000


async def test_a_holder_with_a_longer_lease_keeps_it(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link, _leases(link, 300).hold("cell", "a:b", on_lost=_never):
        assert await _leases(link, 30).holder("cell") == "a:b"
        assert await _left(link) > 290_000
