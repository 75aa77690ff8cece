"""The disk that holds the backups is full: jobs fail with a code that says so, and all else is as it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disks import leave_free, small_disk
from tests.faults.processes.soundness import prove_sound
from tests.faults.processes.world import World, building
from tests.support.docker_engine import Images

pytestmark = [pytest.mark.engine, pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk takes root")]

_MEGABYTES = 60


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_disk(tmp_path_factory.mktemp("small") / "disk", _MEGABYTES * 1_000_000) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def small_world(disk: Path, docker_host: str, images: Images) -> Iterator[World]:
    with building(images, docker_host, kinds=["fault-mail", "fault-calendar"], backup_dir=disk / "archives") as world:
        yield world


@pytest.mark.parametrize("kind", ["backup", "restore"])
@pytest.mark.parametrize("pages", [0, 1, 30, 700])
def test_a_full_disk_fails_the_job_and_changes_nothing(small_world: World, disk: Path, kind: str, pages: int) -> None:
    leave_free(disk, pages)
    job = small_world.ended(small_world.ask(kind))
    assert job["state"] == "failed", job
    assert job["error"]["code"] in {"disk_full", "space_missing"}, job
    prove_sound(small_world, kind, job)
    (disk / ".ballast").unlink()
    done = small_world.ended(small_world.ask(kind))
    assert done["state"] == "succeeded", done
    prove_sound(small_world, kind, done)
