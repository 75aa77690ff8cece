"""One run: a job that is brought to a stage, and what a seed says happens to its worker there."""

import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from tests.faults.processes.ledger import LEDGER, Entry
from tests.faults.processes.soundness import DONE, prove_sound
from tests.faults.processes.stages import PLACES
from tests.faults.processes.workers import Worker
from tests.faults.processes.world import LEASE, World
from tests.support.service import ENDED
from tests.support.waiting import eventually


class Action(StrEnum):
    """Name what happens to the worker."""

    KILL = "killed"
    KILL_WITH_ANOTHER_WAITING = "killed while another waits"
    KILL_TWICE = "killed, and the next one too"
    CANCEL_AND_KILL = "cancelled, then killed"
    STOP_AND_GO_ON = "stopped for a moment"
    STOP_FOR_LONG = "stopped for longer than the lease, goes on"
    STOP_AND_BE_REPLACED = "stopped, replaced, goes on"
    STOP_FOR_EVER = "stopped, replaced, never goes on"

    @property
    def stops(self) -> bool:
        return self.value.startswith("stopped")


@dataclass(frozen=True, slots=True)
class Plan:
    """Say all that a seed decides; `delay` is how long the worker goes on after the stage has begun, in seconds."""

    seed: int
    kind: str
    stage: str
    action: Action
    delay: float
    again: float
    encrypted: bool

    @classmethod
    def of(cls, seed: int) -> "Plan":
        """Choose: the stages one after the other, so that each has its turn, all else by chance."""
        kind, stage = PLACES[seed % len(PLACES)]
        chance = Random(seed)
        action = chance.choice(list(Action))
        # half of them at the very beginning, the others from a millisecond to two seconds later
        delay = chance.choice([0.0, 10 ** chance.uniform(-3, 0.3)])
        return cls(seed, kind, stage, action, delay, chance.uniform(0.3, 3), chance.random() < 0.5)

    @property
    def place(self) -> str:
        return f"{self.kind}:{self.stage}"


def run(world: World, plan: Plan) -> None:
    """Do the run and prove that all is sound afterwards."""
    print(plan)  # noqa: T201  # pytest shows it where the run fails
    started = time.monotonic()
    victim = world.workers.all[-1]
    world.workers.gate.close_at(plan.place)
    job_id = world.ask(plan.kind, encrypted=plan.encrypted)
    assert world.workers.held(plan.place) is victim
    next_one, hit = _do(world, plan, victim, job_id)
    world.workers.gate.open()
    job = world.ended(job_id)
    side = prove_sound(world, plan.kind, job)
    world.workers.only(next_one)
    _check_end(plan, job)
    code = job["error"]["code"] if job["error"] else ""
    seconds = time.monotonic() - started
    LEDGER.runs.append(Entry(plan.seed, plan.place, plan.action, hit, f"{job['state']} {code}", side, seconds))


def _do(world: World, plan: Plan, victim: Worker, job_id: str) -> tuple[Worker, str]:
    """Do to the worker, which stands at the gate, what the plan says.

    Give the worker that works from now on, and the stage that was hit.
    """
    workers = world.workers
    if plan.action is Action.CANCEL_AND_KILL:
        world.cancel(job_id)
    waiting = workers.start() if plan.action is Action.KILL_WITH_ANOTHER_WAITING else None
    if plan.delay:
        victim.send(signal.SIGCONT)
        time.sleep(plan.delay)
    if plan.action.stops:
        victim.send(signal.SIGSTOP)
        hit = workers.gate.last
        return _while_stopped(world, plan, victim, job_id), hit
    victim.kill()
    hit = workers.gate.last
    if plan.action is Action.KILL_TWICE:
        second = workers.start()
        time.sleep(LEASE + plan.again)
        second.kill()
    return waiting or workers.start(), hit


def _while_stopped(world: World, plan: Plan, victim: Worker, job_id: str) -> Worker:
    """Let the stopped worker go on, or not; give the one that works from now on."""
    match plan.action:
        case Action.STOP_FOR_EVER:
            return world.workers.start()
        case Action.STOP_AND_BE_REPLACED:
            another = world.workers.start()
            eventually(lambda: _is_over(world, job_id), what="another worker has taken over", limit=60)
        case Action.STOP_FOR_LONG:
            another = victim
            time.sleep(LEASE + plan.again)
        case _:
            another = victim
            time.sleep(LEASE / 4)
    victim.send(signal.SIGCONT)
    return another


def _is_over(world: World, job_id: str) -> bool:
    state: str = world.service.job(job_id)["state"]
    return state in ENDED


def _check_end(plan: Plan, job: dict[str, Any]) -> None:
    """Compare the end with what may come of the action."""
    code = job["error"] and job["error"]["code"]
    if plan.action is Action.STOP_AND_GO_ON:
        assert job["state"] in DONE, job
    elif plan.action is Action.CANCEL_AND_KILL:
        assert job["state"] in DONE or code in {"cancelled", "worker_lost"}, job
    else:
        assert job["state"] in DONE or code == "worker_lost", job
