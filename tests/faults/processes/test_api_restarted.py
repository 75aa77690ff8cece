"""The API is killed and started again in mid-job: nothing happens to the job."""

import pytest

from tests.faults.processes.soundness import prove_sound
from tests.faults.processes.world import World
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(("kind", "word"), [("backup", "--create"), ("restore", "--extract")])
def test_a_job_goes_on_when_the_api_is_killed(world: World, kind: str, word: str) -> None:
    world.containers.stall(word)
    job_id = world.ask(kind)
    eventually(lambda: world.containers.stalled, what="tar stands still")
    before = world.service.job(job_id)
    world.api.kill()
    world.api.start()
    now = world.service.job(job_id)
    assert (now["state"], now["started_at"]) == ("running", before["started_at"])
    world.containers.flow()
    job = world.ended(job_id)
    assert job["state"] == "succeeded", f"{job}\n{world.workers.say()}"
    prove_sound(world, kind, job)
