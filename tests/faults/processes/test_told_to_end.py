"""A worker that is told to end ends its job, cleanly and in a state that says so."""

import signal

import pytest

from tests.faults.processes.soundness import DONE, prove_sound
from tests.faults.processes.stages import AFTER_THE_END
from tests.faults.processes.world import World
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

_PLACES = (
    ("backup", "components"),
    ("backup", "publish"),
    ("verify", "read"),
    ("dry run", "verify"),
    ("restore", "verify"),
    ("restore", "safety/volumes"),
    ("restore", "web"),
    ("restore", "regenerate"),
)


@pytest.mark.parametrize(("kind", "stage"), _PLACES)
def test_a_worker_is_told_to_end(world: World, kind: str, stage: str) -> None:
    place = f"{kind}:{stage}"
    world.workers.gate.close_at(place)
    job_id = world.ask(kind)
    worker = world.workers.held(place)
    worker.send(signal.SIGTERM)
    worker.send(signal.SIGCONT)
    _check_stopped(world, kind, stage, job_id)


@pytest.mark.parametrize(("kind", "word"), [("backup", "--create"), ("restore", "--extract")])
def test_a_worker_is_told_to_end_while_tar_stands_still(world: World, kind: str, word: str) -> None:
    world.containers.stall(word)
    job_id = world.ask(kind)
    eventually(lambda: world.containers.stalled, what="tar stands still")
    world.workers.all[-1].send(signal.SIGTERM)
    _check_stopped(world, kind, "volumes", job_id)


def _check_stopped(world: World, kind: str, stage: str, job_id: str) -> None:
    """Look at the job as the worker left it, and at everything else once another one runs."""
    assert world.workers.all[-1].stop() == 0, world.workers.say()
    job = world.service.job(job_id)
    assert job["finished_at"] is not None, job
    if kind == "restore" and stage in AFTER_THE_END:
        assert job["state"] in DONE, job
    else:
        assert (job["state"], job["error"]["code"]) == ("failed", "worker_stopped"), job
    eventually(lambda: not world.containers.faults(), what="nothing is left in the containers")
    world.workers.only(world.workers.start())
    prove_sound(world, kind, job)
