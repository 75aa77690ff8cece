"""Kill -9 at any instant of a restore ends in the old cell or in the new one, never between; and it is said which."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.restoring import held_by_backups
from tests.service.alone import Archives, Machine, make_archives, make_changed_cell
from tests.support.docker_engine import Images, RunContainer, docker
from tests.support.restoring import saved
from tests.support.service import PROJECT, Client, Place, running, running_service
from tests.support.trees import Tree, describe, differences
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return make_archives(tmp_path_factory.mktemp("archives"))


# --- a process alone, killed before every change it makes to the file system


def killed_everywhere(archive: Path, cell: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Give what became of each restore that was killed, as `tests.service.killing` tells it."""
    words: list[str | Path] = [sys.executable, "-m", "tests.service.killing", archive, cell, folder, "1"]
    environment = {**Machine(folder).environment, "PATH": os.environ["PATH"]}
    done = subprocess.run(words, env=environment, cwd=PROJECT, capture_output=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    yield from map(json.loads, done.stdout.splitlines())


def test_killed_at_every_change_and_again_while_it_is_put_back(archives: Archives, tmp_path: Path) -> None:
    before = make_changed_cell(tmp_path / "cell", tmp_path / "other")
    folder = tmp_path / "killed"
    folder.mkdir()
    *killed, last = killed_everywhere(archives.full, tmp_path / "cell", folder)
    assert last["first"] == 0
    sides = [side_of(one, folder / str(one["number"]), before, archives.tree) for one in killed]
    assert len(sides) > 50
    assert sides == sorted(sides, key="old new".index), "it went back and forth"
    assert set(sides) == {"old", "new"}
    left = [describe(folder / str(one["number"]) / "left") for one in killed]
    between = [tree for tree in left if differences(before, tree) and differences(archives.tree, held(tree))]
    assert len(between) > 20, "it was hardly ever killed where it hurts"


def side_of(killed: dict[str, Any], home: Path, before: Tree, new: Tree) -> str:
    """Tell which cell a killed restore ended in, once the next process but one has looked at it."""
    number = killed["number"]
    assert (killed["first"], killed["third"]) == (-signal.SIGKILL, 0), killed
    assert killed["second"] in {-signal.SIGKILL, 0}, killed
    now = describe(home / "cell")
    if not differences(before, now):
        return "old"
    found = differences(held(new), held(now))
    assert not found, (number, found, differences(before, now))
    assert "was put back" not in killed["said"]
    return "new"


def held(tree: Tree) -> Tree:
    return held_by_backups(tree)


# --- the service: API and worker as two processes, and the worker is killed


STOPPING = """
import os, signal, sys
from app.cell.restoring.journal import Journal
import workers.main
note = Journal.note
def noted(self, kind, **facts):
    note(self, kind, **facts)
    if (kind, facts.get("name", "")) == {at!r}:
        os.kill(os.getpid(), signal.SIGSTOP)
Journal.note = noted
sys.exit(workers.main.main())
"""
QUICK: dict[str, Any] = {"lease_seconds": 2, "regenerate": "off"}


@contextmanager
def stopping_worker(place: Place, url: str, at: tuple[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker that stands still once its restore has noted something."""
    environment = place.environment(redis_url=url, **QUICK)
    with (place.home / "stopping.out").open("wb") as out:
        words = [sys.executable, "-c", STOPPING.format(at=at)]
        process = subprocess.Popen(words, env=environment, cwd=place.home, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def killed_at(service: Client, url: str, backup_id: str, at: tuple[str, str]) -> str:
    """Start a restore and kill its worker at one place; give the job's id."""
    with stopping_worker(service.place, url, at) as worker:
        job_id: str = service.ask("POST", f"/api/config/restore/{backup_id}", expect=202).json()["job_id"]
        eventually(lambda: is_stopped(worker), what=f"the worker stops at {at}")
    return job_id


def change(place: Place) -> None:
    """Change, add and remove something in the sample cell."""
    (place.cell / "config/api/cell_config.json").write_text('{"cell_name": "changed"}')
    (place.cell / "data/dns").mkdir(exist_ok=True)
    (place.cell / "data/dns/stale.zone").write_text("@ IN A 10.0.0.99")
    (place.cell / "docker-compose.yml").unlink()


PLACES = {
    "verify": (("opened", ""), "old"),
    "safety": (("safety", ""), "old"),
    "prepared": (("prepared", ""), "old"),
    "identity": (("component", "identity"), "old"),
    "web": (("component", "web"), "old"),
    "folders": (("folders", ""), "old"),
    "committed": (("committed", ""), "new"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_worker_that_is_killed(place: Place, redis_url: str, name: str) -> None:
    at, side = PLACES[name]
    with running_service(place, "api", redis_url=redis_url, **QUICK) as service:
        with running(place, "worker", redis_url=redis_url, **QUICK):
            backup_id = service.backup(services=[])["backup_id"]
        old = describe(place.cell)
        change(place)
        changed = describe(place.cell)
        job_id = killed_at(service, redis_url, backup_id, at)
        assert service.job(job_id)["state"] in {"running", "failed"}
        with running(place, "worker", redis_url=redis_url, **QUICK):
            eventually(lambda: service.job(job_id)["finished_at"] is not None, what="the dead job is ended")
            ended = service.job(job_id)
            assert (ended["state"], ended["error"]["code"]) == ("failed", "worker_lost")
            found = differences(changed, describe(place.cell)) if side == "old" else new_differs(old, place)
            assert not found, found
            assert not (place.cell / ".cell-backup").exists()
            assert ended["warnings"] == told(name, backup_id)
            again = service.wait_for(
                service.ask("POST", f"/api/config/restore/{backup_id}", expect=202, json={"services": []}).json()[
                    "job_id"
                ]
            )
            assert again["state"] == "succeeded", again
            assert not new_differs(old, place)


def new_differs(old: Tree, place: Place) -> list[str]:
    return differences(saved(old), saved(describe(place.cell)))


def told(name: str, backup_id: str) -> list[str]:
    if name == "committed":
        return [f"After the worker died: the restore of {backup_id} had been done, and was finished."]
    if name in {"verify", "safety", "prepared"}:
        return []
    return [
        f"After the worker died: the restore of {backup_id} was cut off, and the cell was put back as it was before."
    ]


# --- a real container's volume


TORN = """
import workers.restoring.volumes
def torn(pieces, sink, keep_going):
    sink.write(bytes(next(iter(pieces)))[:{size}])
    os.kill(os.getpid(), signal.SIGKILL)
workers.restoring.volumes._pump = torn
"""


@pytest.mark.engine
@pytest.mark.parametrize("quiesce", ["none", "pause", "stop"])
def test_a_volume_that_was_half_written_comes_back(
    tmp_path: Path, docker_host: str, images: Images, run_container: RunContainer, quiesce: str
) -> None:
    machine = Machine(tmp_path, docker_host)
    with run_container(images.gnu) as container:
        manifest = {
            "id": "mail",
            "container_name": container.name,
            "capabilities": {"has_storage": True},
            "backup": {"volumes": [{"name": "v", "path": "/vol", "quiesce": quiesce}]},
        }
        folder = machine.cell / "data/services/mail"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (machine.cell / "config").mkdir()
        container.sh(
            "mkdir -p /vol/a && echo old >/vol/a/1 && head -c 300000 /dev/zero >/vol/a/2 && chown 7:8 /vol/a/1"
        )
        archive = backed_up(machine)
        # whole seconds: what is held still is read by the engine's endpoint, which gives no others
        container.sh("cd /vol; rm a/2; echo new >a/1; echo later >b; touch -t 202001020304 a/1 a b .")
        before = describe(container.volume)
        killed = machine.restore_meddled(TORN.format(size=2048), archive)
        assert killed.returncode == -signal.SIGKILL
        assert differences(before, describe(container.volume))
        done = machine.restore(archive, "--dry-run")
        assert done.returncode == 0, done
        assert "was cut off, and the cell was put back as it was before" in done.stderr
        found = differences(before, describe(container.volume))
        assert not found, found
        assert docker("inspect", "--format={{.State.Status}}", container.name).strip() == b"running"
        assert machine.restore(archive).returncode == 0
        assert container.sh("cat /vol/a/1; ls /vol; stat -c %u:%g /vol/a/1").split() == ["old", "a", "7:8"]
        mounting = docker("ps", "--all", "--format={{.Names}}", f"--filter=volume={container.volume}")
        assert mounting.decode().split() == [container.name], "a helper is left behind"


def backed_up(machine: Machine) -> Path:
    """Back the cell of a machine up by a service of its own."""
    place = Place(machine.home)
    with running_service(place, docker_host=machine.docker_host) as service:
        job = service.backup()
        assert job["state"] == "succeeded", job
    return place.backups / str(job["result"]["file_name"])
