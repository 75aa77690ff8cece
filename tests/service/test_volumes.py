"""Volumes of real containers, backed up through HTTP and compared with what GNU tar makes of the archive."""

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker_engine import Images, RunContainer, docker
from tests.support.service import Client, running_service, sample_place
from tests.support.tars import check_sums, extract
from tests.support.trees import EVERYTHING, Tree, Wanted, build, describe, differences

pytestmark = pytest.mark.engine

# what neither busybox nor the engine's archive endpoint can keep
BUSYBOX = Wanted(exact_times=False, large_owners=False, xattrs=False, sparse=False)
ENDPOINT = Wanted(exact_times=False, xattrs=False, sparse=False)
KINDS = {
    "gnu": ("exec", EVERYTHING),
    "busybox": ("exec", BUSYBOX),
    "bare": ("archive", ENDPOINT),
    "stopped": ("archive", ENDPOINT),
    "paused": ("archive", ENDPOINT),
}

Job = dict[str, Any]


@pytest.fixture(scope="module")
def service(docker_host: str) -> Iterator[Client]:
    with sample_place() as place, running_service(place, docker_host=docker_host) as client:
        yield client


def install(service: Client, name: str, container: str, **volume: Any) -> None:
    """Install a service whose one volume `v` is the container's /vol."""
    folder = service.place.cell / "data/services" / name
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "id": name,
        "container_name": container,
        "capabilities": {"has_storage": True},
        "backup": {"volumes": [{"name": "v", "path": "/vol", **volume}]},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def backup_of(service: Client, *names: str) -> Job:
    """Back up these services and nothing else, and prove the archive whole."""
    job = service.backup(components=[], services=list(names))
    if job["result"] is not None:
        assert service.verify(job["backup_id"])["state"] == "succeeded"
    return job


def extracted(service: Client, job: Job, folder: Path) -> Path:
    """Extract the archive with GNU tar; every file in it that has a checksum has the right one."""
    archive = service.place.backups / job["result"]["file_name"]
    plain = subprocess.run(["gzip", "--decompress", "--stdout", archive], check=True, capture_output=True).stdout
    extract(plain, folder)
    check_sums((folder / ".cell-backup/SHA256SUMS").read_bytes(), folder)
    return folder / "services"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def state_of(container: str) -> str:
    return docker("inspect", "--format={{.State.Status}}", container).decode().strip()


def seen_in_a_container(tree: Tree) -> Tree:
    """Leave out the `trusted` attributes: only a container with CAP_SYS_ADMIN is shown them."""
    return {
        path: replace(facts, xattrs=tuple(pair for pair in facts.xattrs if not pair[0].startswith("trusted.")))
        for path, facts in tree.items()
    }


def set_aside(kind: str, container: str) -> None:
    if kind in {"stopped", "paused"}:
        docker({"stopped": "stop", "paused": "pause"}[kind], container)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_a_volume_can_hold_comes_back_bit_for_bit(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path, kind: str
) -> None:
    way, wanted = KINDS[kind]
    with run_container(getattr(images, kind, images.gnu)) as container:
        build(container.volume, wanted)
        set_aside(kind, container.name)
        install(service, "e", container.name)
        job = backup_of(service, "e")
        (part,) = job["components"]
        assert (part["outcome"], part["way"], part["error"]) == ("succeeded", way, None)
        assert job["state"] == "succeeded"
        before = seen_in_a_container(describe(container.volume))
        devices = before.keys() & {b"block", b"char"}
        # no restore takes a device, so each one is left out and named
        assert all(any(os.fsdecode(path) in warning for warning in part["warnings"]) for path in devices)
        after = describe(extracted(service, job, tmp_path / "x") / "e/v")
        assert differences({path: facts for path, facts in before.items() if path not in devices}, after) == []
        assert max(map(len, before)) > 4000


@pytest.mark.parametrize("kind", ["gnu", "busybox"])
def test_a_socket_is_left_out_and_named(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path, kind: str
) -> None:
    with run_container(getattr(images, kind)) as container:
        (container.volume / "kept").write_text("kept")
        os.mknod(container.volume / "control.sock", stat.S_IFSOCK | 0o600)
        install(service, "s", container.name)
        job = backup_of(service, "s")
        (part,) = job["components"]
        assert job["state"] == "succeeded"
        assert [warning for warning in part["warnings"] if "control.sock" in warning and "socket" in warning]
        assert names_in(extracted(service, job, tmp_path / "x") / "s/v") == ["kept"]


def test_an_empty_volume_is_saved_as_such(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path
) -> None:
    with run_container(images.gnu) as container:
        container.volume.chmod(0o2750)
        install(service, "s", container.name)
        job = backup_of(service, "s")
        (part,) = job["components"]
        assert (job["state"], part["files"], part["warnings"]) == ("succeeded", 0, [])
        volume = extracted(service, job, tmp_path / "x") / "s/v"
        assert differences(describe(container.volume), describe(volume)) == []


def test_excluded_names_stay_away(service: Client, images: Images, run_container: RunContainer, tmp_path: Path) -> None:
    with run_container(images.bare) as container:
        for name in ("a.tmp", "a.mail", "cache/x"):
            (container.volume / name).parent.mkdir(exist_ok=True)
            (container.volume / name).write_text(name)
        install(service, "s", container.name, exclude=["*.tmp", "cache"])
        assert names_in(extracted(service, backup_of(service, "s"), tmp_path / "x") / "s/v") == ["a.mail"]


@pytest.mark.parametrize("image", ["bare", "gnu"])
def test_leaving_out_dotfiles_does_not_leave_out_everything(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path, image: str
) -> None:
    with run_container(getattr(images, image)) as container:
        for name in (".hidden", "letter"):
            (container.volume / name).write_text(name)
        install(service, "s", container.name, exclude=[".*"])
        assert names_in(extracted(service, backup_of(service, "s"), tmp_path / "x") / "s/v") == ["letter"]


def test_what_is_missing_makes_the_backup_partial_and_the_rest_is_good(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path
) -> None:
    with run_container(images.gnu) as container:
        (container.volume / "letter").write_text("Dear Ada")
        install(service, "a-gone", "cell-gone")
        install(service, "b-nowhere", container.name, path="/nowhere")
        install(service, "c-good", container.name)
        job = service.backup(components=["vault"], services=["a-gone", "b-nowhere", "c-good"])
        assert job["state"] == "partial"
        found = {part["service"]: part for part in job["components"]}
        assert found["a-gone"]["error"]["code"] == "container_missing"
        assert "cell-gone" in found["a-gone"]["error"]["message"]
        assert found["b-nowhere"]["error"]["code"] == "volume_missing"
        assert [part["outcome"] for part in found.values()] == ["succeeded", "failed", "failed", "succeeded"]
        assert service.verify(job["backup_id"])["result"]["failed_parts"] == ["a-gone/v", "b-nowhere/v"]
        assert (extracted(service, job, tmp_path / "x") / "c-good/v/letter").read_text() == "Dear Ada"
        assert (tmp_path / "x/data/vault/vault.key").is_file()


def test_labels_on_a_container_make_it_a_service(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path
) -> None:
    with run_container(images.gnu, labels={"cell-backup.volumes": "/vol,/tmp"}) as container:
        (container.volume / "letter").write_text("Dear Ada")
        name = container.name.removeprefix("cell-")
        job = backup_of(service, name)
        assert [(part["service"], part["name"]) for part in job["components"]] == [(name, "vol"), (name, "tmp")]
        assert (extracted(service, job, tmp_path / "x") / name / "vol/letter").read_text() == "Dear Ada"


def hook(word: str, code: int = 0) -> list[str]:
    return ["sh", "-c", f"echo {word} >> /vol/log; echo {word} went wrong; exit {code}"]


def test_hooks_run_before_and_after(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path
) -> None:
    with run_container(images.gnu) as container:
        install(service, "h", container.name, pre=hook("pre"), post=hook("post"))
        job = backup_of(service, "h")
        assert job["state"] == "succeeded"
        assert (extracted(service, job, tmp_path / "x") / "h/v/log").read_text() == "pre\n"
        assert (container.volume / "log").read_text() == "pre\npost\n"


def test_a_failed_pre_fails_the_volume_and_post_still_runs(
    service: Client, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.gnu) as container:
        install(service, "h", container.name, pre=hook("pre", 7), post=hook("post"))
        job = service.backup(components=["vault"], services=["h"])
        part = job["components"][-1]
        assert (job["state"], part["outcome"], part["exit_code"]) == ("partial", "failed", 7)
        assert part["error"]["code"] == "hook_failed"
        assert "pre went wrong" in part["error"]["message"]
        assert (container.volume / "log").read_text() == "pre\npost\n"


def test_a_failed_post_shows_although_the_data_is_good(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path
) -> None:
    with run_container(images.busybox) as container:
        (container.volume / "letter").write_text("Dear Ada")
        install(service, "h", container.name, post=hook("post", 3))
        job = backup_of(service, "h")
        (part,) = job["components"]
        assert (job["state"], part["outcome"], part["error"]["code"]) == ("partial", "succeeded", "hook_failed")
        assert "post went wrong" in part["error"]["message"]
        assert (extracted(service, job, tmp_path / "x") / "h/v/letter").read_text() == "Dear Ada"


EVENTS = {"pause": ["pause", "unpause"], "stop": ["kill", "die", "stop", "start"]}


@pytest.mark.parametrize("mode", EVENTS)
def test_a_container_is_held_still_and_runs_again(
    service: Client, images: Images, run_container: RunContainer, tmp_path: Path, mode: str
) -> None:
    with run_container(images.gnu) as container:
        (container.volume / "letter").write_text("Dear Ada")
        since = time.time()
        install(service, "q", container.name, quiesce=mode, pre=hook("pre"), post=hook("post"))
        job = backup_of(service, "q")
        (part,) = job["components"]
        assert (job["state"], part["way"]) == ("succeeded", "archive")
        assert state_of(container.name) == "running"
        assert [event for event in events_of(container.name, since) if event in EVENTS[mode]] == EVENTS[mode]
        assert (extracted(service, job, tmp_path / "x") / "q/v/letter").read_text() == "Dear Ada"
        assert (container.volume / "log").read_text() == "pre\npost\n"
        assert not any((service.place.state / "quiesced").iterdir())


def events_of(container: str, since: float) -> list[str]:
    window = [f"--since={since:.9f}", f"--until={time.time():.9f}"]
    lines = docker("events", *window, f"--filter=container={container}", "--format={{.Action}}")
    return lines.decode().splitlines()


@pytest.mark.parametrize(("aside", "mode"), [("stopped", "stop"), ("stopped", "pause"), ("paused", "pause")])
def test_a_container_that_did_not_run_is_left_as_it_was(
    service: Client, images: Images, run_container: RunContainer, aside: str, mode: str
) -> None:
    with run_container(images.gnu) as container:
        (container.volume / "letter").write_text("Dear Ada")
        set_aside(aside, container.name)
        install(service, "q", container.name, quiesce=mode)
        job = backup_of(service, "q")
        assert (job["state"], job["components"][0]["way"]) == ("succeeded", "archive")
        assert state_of(container.name) == {"stopped": "exited", "paused": "paused"}[aside]
