"""Redis is killed, or stands still for longer than a lease, in mid-job: the job goes on and its record is right."""

import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.processes.soundness import prove_sound
from tests.faults.processes.world import LEASE, World
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine


def restarted(world: World) -> None:
    """Kill Redis and start it on what it had written; meanwhile the job goes on."""
    world.redis.kill()
    world.containers.flow()
    time.sleep(LEASE / 4)  # how long it is away, not something that is waited for
    world.redis.start()


def away_for_long(world: World) -> None:
    """Kill Redis and start it when every lease has run out."""
    world.redis.kill()
    world.containers.flow()
    time.sleep(1.5 * LEASE)  # how long it is away
    world.redis.start()


def stopped(world: World) -> None:
    """Let Redis stand still, with every command that it gets, until every lease has run out."""
    assert world.redis.process is not None
    world.redis.process.send_signal(signal.SIGSTOP)
    world.containers.flow()
    time.sleep(1.5 * LEASE)  # how long it stands still
    world.redis.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(("kind", "word"), [("backup", "--create"), ("restore", "--extract")])
@pytest.mark.parametrize("away", [restarted, away_for_long, stopped])
def test_a_job_goes_on_when_redis_is_away(world: World, kind: str, word: str, away: Callable[[World], None]) -> None:
    world.containers.stall(word)
    job_id = world.ask(kind)
    eventually(lambda: world.containers.stalled, what="tar stands still")
    away(world)
    eventually(lambda: world.redis_answers, what="Redis answers")
    job = world.ended(job_id)
    assert job["state"] == "succeeded", f"{job}\n{world.workers.say()}"
    prove_sound(world, kind, job)
