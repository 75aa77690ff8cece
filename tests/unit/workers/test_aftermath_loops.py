"""The loops that tell how jobs end, beside the jobs of a worker."""

import asyncio
from dataclasses import replace

import aiohttp
import pytest
from pydantic import SecretStr

from app.errors import Code, InputError
from app.jobs.deliveries import DeliveryState
from app.jobs.records import JobState
from app.jobs.rooms import open_jobs
from app.webhooks import sending
from tests.faults.house import House
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async
from tests.support.webhook_receiver import LOOPBACK, SECRET, answer, hang, receiver
from tests.unit.workers.tellers import Teller, configured
from workers import aftermath
from workers.aftermath import telling


async def test_a_worker_tells_at_once_when_it_is_woken(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "_LOOK_SECONDS", 1e9)  # so that looking now and then cannot help
    async with receiver() as taking, telling(teller.tools) as wake:
        await teller.end(taking)
        wake()
        await eventually_async(teller.delivered, what="the webhook is delivered")
    taking.received[0].verified()


async def test_a_worker_tells_of_jobs_that_ended_elsewhere(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "_LOOK_SECONDS", 0.02)
    async with receiver(answer(500), answer(204)) as taking, telling(teller.tools):
        await teller.end(taking)
        await eventually_async(teller.delivered, what="the webhook is delivered")
    assert len(taking.received) == 2


async def test_a_worker_that_ends_tells_of_the_job_that_ended_with_it(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aftermath, "_LOOK_SECONDS", 1e9)
    async with receiver() as taking:
        async with telling(teller.tools):
            await asyncio.sleep(0)  # the loops have looked, and wait
            await teller.end(taking, state=JobState.FAILED)
        assert await teller.delivered()


async def test_what_a_worker_has_in_hand_as_it_ends_is_due_again_at_once(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aftermath, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(sending, "_LIMITS", aiohttp.ClientTimeout(total=1e6))
    async with receiver(hang, answer(204)) as taking:
        async with telling(teller.tools):
            await teller.end(taking)
            await taking.came.wait()
        assert await teller.delivered()
    assert len({received.headers["webhook-id"] for received in taking.received}) == 1


async def test_a_receiver_that_hangs_holds_up_nobody_else(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(sending, "_LIMITS", aiohttp.ClientTimeout(total=1e6))
    async with receiver(hang) as hanging, receiver() as sound:
        teller = configured(teller, webhook_url=SecretStr(sound.url), webhook_secret=SecretStr(SECRET))
        async with telling(teller.tools):
            await teller.end(hanging)
            await hanging.came.wait()
            await sound.came.wait()
            states = {"request": DeliveryState.PENDING, "default": DeliveryState.DELIVERED}

            async def one_is_delivered() -> bool:
                return {found.target: found.state for found in await teller.deliveries()} == states

            await eventually_async(one_is_delivered, what="the other receiver's webhook is delivered")


async def test_a_default_that_cannot_be_used_is_said_at_the_start(house: House) -> None:
    house.configure(webhook_url=SecretStr("https://hooks.example/x"))
    with pytest.raises(InputError) as caught:
        async with telling(house.tools):
            pytest.fail("It began.")
    assert caught.value.code is Code.INVALID_SETTING


async def test_redis_may_die_while_a_message_is_on_its_way(
    house: House, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aftermath, "_LOOK_SECONDS", 0.02)
    house.configure(webhook_networks=LOOPBACK, webhook_pauses=(0.0, 0.0))

    async def kill_and_refuse(writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(own_redis.kill)
        await answer(500)(writer)

    async def waiting() -> bool:
        return "webhooks wait" in caplog.text

    async with open_jobs(house.settings, own_redis.url) as jobs, receiver(kill_and_refuse, answer(204)) as taking:
        await jobs.store.create(await house.queue(), max_queued=1)
        teller = Teller(replace(house.tools, jobs=jobs))
        async with telling(teller.tools):
            await teller.end(taking)
            await eventually_async(waiting, what="the loops have seen that Redis is away")
            await asyncio.to_thread(own_redis.start)
            await eventually_async(teller.delivered, what="the webhook is delivered")
        [delivery] = await teller.deliveries()
    assert [attempt.status for attempt in delivery.attempts] == [500, 204]
    assert [received.headers["webhook-id"] for received in taking.received] == [delivery.delivery_id] * 2


async def test_a_cancellation_that_is_swallowed_is_followed_by_another(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    swallowed, asked = [1], asyncio.Event()

    async def swallowing(*_: object, **__: object) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallowed:
                raise
            swallowed.pop()

    monkeypatch.setattr(aftermath, "_LOOK_SECONDS", 1e9)
    monkeypatch.setattr(house.jobs.deliveries, "claim", swallowing)
    async with telling(house.tools):
        await asked.wait()
        await asyncio.sleep(0)
        monkeypatch.setattr(aftermath.Aftermath, "last_words", lambda _: asyncio.sleep(0))
    assert swallowed == []
