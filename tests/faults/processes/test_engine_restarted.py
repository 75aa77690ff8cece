"""The engine is killed in mid-job and comes back: what ran runs again, and the cell is old or new."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.faults.processes.engines import OwnEngine, own_engine
from tests.faults.processes.soundness import prove_sound
from tests.faults.processes.world import World, building
from tests.support.docker_engine import Images
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("dockerd") is None, reason="an engine of one's own takes root"
    ),
]


@pytest.fixture(scope="module")
def engine(images: Images) -> Iterator[OwnEngine]:
    with own_engine() as made:
        made.load(images.gnu, images.busybox)
        yield made


@pytest.fixture(scope="module")
def engine_world(engine: OwnEngine, images: Images) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.docker_host)
        # an engine that comes back starts such containers again, also those that it found paused
        options = ["--restart=unless-stopped"]
        with building(images, engine.docker_host, kinds=["fault-mail", "fault-calendar"], options=options) as world:
            yield world


def test_a_backup_whose_engine_is_killed_saves_the_rest(engine_world: World, engine: OwnEngine) -> None:
    job_id = _stalled(engine_world, "backup", "--create")
    engine.kill()
    job = engine_world.ended(job_id)
    engine.start()
    assert job["state"] == "partial", job
    assert [part["service"] for part in job["components"] if part["error"]] == ["fault-mail"], job["components"]
    _check(engine_world, "backup", job_id)


def test_a_restore_whose_engine_is_killed_is_put_back(engine_world: World, engine: OwnEngine) -> None:
    job_id = _stalled(engine_world, "restore", "--extract")
    engine.kill()
    job = engine_world.ended(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "rollback_failed"), job
    engine.start()
    eventually(lambda: engine_world.containers.faults() == [], what="the containers run again")
    later = engine_world.ended(engine_world.ask("verify"))
    assert later["state"] == "succeeded", later
    assert "put back" in " ".join(later["warnings"])
    _check(engine_world, "restore", job_id)


def _stalled(world: World, kind: str, word: str) -> str:
    world.containers.stall(word)
    job_id = world.ask(kind)
    eventually(lambda: world.containers.stalled, what="tar stands still")
    return job_id


def _check(world: World, kind: str, job_id: str) -> None:
    prove_sound(world, kind, world.service.job(job_id))
    after = world.ended(world.ask("backup"))
    assert after["state"] == "succeeded", after
    prove_sound(world, "backup", after)
