"""Whoever tries tokens is slowed down and told of; whoever has a right one notices nothing."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from fastapi import FastAPI

from app.access.audit import AuditEvent
from app.access.tokens import Scope
from app.api.attempts import Attempts, Refusal, Refusals, network_of
from app.api.noting import telling
from app.api.resources import Resources
from app.errors import Code, InputError
from app.main import create_app
from tests.api.conftest import TOKEN, assert_problem, client_of

WRONG = {"Authorization": "Bearer wrong"}
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Hands:
    """Be a clock that only a test moves, and a sleep that ends when a test says so."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    crowded: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 32:
            self.crowded.set()
        await self.open.wait()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def slow(resources: Resources, hands: Hands) -> Resources:
    attempts = Attempts(clock=hands.clock, sleep=hands.sleep)
    return replace(resources, attempts=attempts, refusals=Refusals(clock=hands.clock))


@pytest.fixture
def slow_app(slow: Resources) -> FastAPI:
    return create_app(slow.settings, resources=slow)


async def test_each_failure_waits_longer_up_to_a_few_seconds(hands: Hands) -> None:
    attempts = Attempts(clock=hands.clock, sleep=hands.sleep)
    for _ in range(10):
        await attempts.failed("192.0.2.1")
    assert hands.slept == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    hands.now += 3600
    await attempts.failed("192.0.2.1")
    assert hands.slept[-1] == pytest.approx(0.25)


async def test_one_who_comes_from_many_addresses_is_slowed_down_too(hands: Hands) -> None:
    attempts = Attempts(clock=hands.clock, sleep=hands.sleep)
    for number in range(200):
        await attempts.failed(f"192.0.2.{number}")
    assert hands.slept[0] < hands.slept[20] < hands.slept[40] < hands.slept[-1] == 4.0


async def test_what_is_remembered_of_peers_is_bounded(hands: Hands) -> None:
    attempts = Attempts(clock=hands.clock, sleep=hands.sleep)
    for number in range(5000):
        await attempts.failed(f"10.0.{number // 250}.{number % 250}")
    assert len(attempts._peers) <= 1024


def test_an_ipv6_client_is_its_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("unknown") == "unknown"


async def test_under_attack_a_right_token_is_not_delayed_and_the_crowd_is_turned_away(
    slow_app: FastAPI, slow: Resources, hands: Hands
) -> None:
    async with client_of(slow_app) as client:
        hands.open.clear()
        waiting = [asyncio.create_task(client.get("/api/jobs", headers=WRONG)) for _ in range(32)]
        await hands.crowded.wait()
        # nothing opens until this test says so: what is answered now has not waited
        turned_away = await client.get("/api/jobs", headers=WRONG)
        assert_problem(turned_away, 429, Code.TOO_MANY_ATTEMPTS)
        assert int(turned_away.headers["retry-after"]) >= 1
        assert (await client.get("/api/jobs", headers=RIGHT)).status_code == 200
        assert not any(task.done() for task in waiting)
        hands.open.set()
        for task in waiting:
            assert_problem(await task, 401, Code.UNAUTHORIZED)
        assert_problem(await client.get("/api/jobs", headers=WRONG), 401, Code.UNAUTHORIZED)
        assert slow.attempts._waiting == 0


async def test_who_hangs_up_while_waiting_makes_room(hands: Hands) -> None:
    attempts = Attempts(clock=hands.clock, sleep=hands.sleep)
    hands.open.clear()
    waiting = [asyncio.create_task(attempts.failed("192.0.2.1")) for _ in range(32)]
    await asyncio.sleep(0)
    with pytest.raises(InputError):
        await attempts.failed("192.0.2.1")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    hands.open.set()
    await attempts.failed("192.0.2.1")


async def test_a_request_without_a_token_is_no_attempt(slow_app: FastAPI, hands: Hands) -> None:
    async with client_of(slow_app) as client:
        for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer "}):
            assert (await client.get("/api/jobs", headers=headers)).status_code == 401
    assert hands.slept == []


async def test_of_many_failures_one_line_is_written_a_minute_with_their_number(
    slow_app: FastAPI, slow: Resources, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(slow_app) as client:
        for _ in range(50):
            await client.get("/api/jobs", headers=WRONG)
        hands.now += 61
        await client.get("/api/jobs", headers=WRONG)
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert [line.partition(":")[0] for line in lines] == [
        "refused 1 times",
        "refused 49 times",
        "refused 1 times",
    ]
    noted = [entry for entry in slow.audit.read(limit=100) if entry.event is AuditEvent.REFUSED]
    assert [(entry.count, entry.status, entry.code) for entry in noted] == [
        (1, 401, "unauthorized"),
        (49, 401, "unauthorized"),
        (1, 401, "unauthorized"),
    ]
    assert all("wrong" not in line for line in lines)


async def test_who_may_only_read_cannot_fill_the_audit_log(slow_app: FastAPI, slow: Resources) -> None:
    _, token = slow.tokens.named.make("dashboard", Scope.READ, by="tests")
    async with client_of(slow_app, Authorization=f"Bearer {token}") as client:
        for _ in range(30):
            assert_problem(await client.post("/api/config/backup"), 403, Code.FORBIDDEN)
    [entry] = slow.audit.read(limit=100)
    assert (entry.by, entry.what, entry.code, entry.count) == ("dashboard", "create_backup", "forbidden", 1)


async def test_what_is_left_to_tell_is_told_when_the_service_ends(slow: Resources) -> None:
    async with telling(slow):
        for _ in range(3):
            slow.refusals.note(Refusal(Code.UNAUTHORIZED, "192.0.2.1"))
    [entry] = slow.audit.read(limit=10)
    assert (entry.peer, entry.count) == ("192.0.2.1", 2)


def test_of_many_peers_some_are_told_apart_and_the_others_are_counted_together(hands: Hands) -> None:
    refusals = Refusals(clock=hands.clock)
    told = [refusals.note(Refusal(Code.UNAUTHORIZED, str(number))) for number in range(1000)]
    assert len([line for lines in told for line in lines]) == 65
    assert refusals.rest() == [(Refusal(Code.UNAUTHORIZED, "others"), 935)]


async def test_a_login_with_a_wrong_token_is_slowed_down_as_a_wrong_header_is(
    slow_app: FastAPI, slow: Resources, hands: Hands
) -> None:
    async with client_of(slow_app) as client:
        for _ in range(2):
            assert_problem(await client.get("/api/jobs", headers=WRONG), 401, Code.UNAUTHORIZED)
            refused = await client.post("/api/session", json={"token": "wrong"})
            assert_problem(refused, 401, Code.UNAUTHORIZED)
        assert (await client.post("/api/session", json={"token": TOKEN})).status_code == 200
    assert hands.slept == [0.25, 0.5, 1.0, 2.0]
    assert [(entry.count, entry.code) for entry in slow.audit.read(limit=10)[1:]] == [(1, "unauthorized")]


async def test_a_session_that_is_unknown_is_no_attempt(slow_app: FastAPI, hands: Hands) -> None:
    async with client_of(slow_app, Cookie="cell_backup_session=of-yesterday") as client:
        for path in ("/api/jobs", "/api/session"):
            assert_problem(await client.get(path), 401, Code.UNAUTHORIZED)
    assert hands.slept == []
