"""A job is cancelled through HTTP, at every stage of every kind, and while a container's tar stands still."""

import signal
import time

import pytest

from tests.faults.processes.ledger import LEDGER
from tests.faults.processes.soundness import DONE, prove_sound
from tests.faults.processes.stages import AFTER_THE_END, PLACES
from tests.faults.processes.world import World
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

_LOOKS_AGAIN = 0.5  # seconds after which a worker asks whether its job is still wanted


@pytest.mark.parametrize(("kind", "stage"), PLACES)
def test_a_job_is_cancelled_wherever_it_is(world: World, kind: str, stage: str) -> None:
    place = f"{kind}:{stage}"
    world.workers.gate.close_at(place)
    job_id = world.ask(kind)
    worker = world.workers.held(place)
    world.cancel(job_id)
    time.sleep(_LOOKS_AGAIN)  # so that it does when it goes on: a small archive is read in no time
    worker.send(signal.SIGCONT)
    began = time.monotonic()
    job = world.ended(job_id)
    LEDGER.cancelled[place] = time.monotonic() - began
    if kind == "restore" and stage in AFTER_THE_END:
        assert job["state"] in DONE, job
    else:
        assert (job["state"], job["error"]["code"]) == ("cancelled", "cancelled"), job
    prove_sound(world, kind, job)


@pytest.mark.parametrize(
    ("kind", "word", "stage"),
    [
        ("backup", "--create", "volumes"),
        ("restore", "--create", "safety/volumes"),
        ("restore", "--extract", "volumes"),
    ],
)
def test_a_job_is_cancelled_while_tar_stands_still(world: World, kind: str, word: str, stage: str) -> None:
    world.containers.stall(word)
    job_id = world.ask(kind)
    eventually(lambda: world.containers.stalled, what="tar stands still")
    assert world.workers.gate.last == f"{kind}:{stage}"
    began = time.monotonic()
    world.cancel(job_id)
    job = world.ended(job_id)
    LEDGER.cancelled[f"{kind}:{stage}, tar stalls"] = time.monotonic() - began
    assert (job["state"], job["error"]["code"]) == ("cancelled", "cancelled"), job
    if stage == "volumes" and kind == "restore":
        assert job["result"]["rolled_back"] is True
    prove_sound(world, kind, job)
