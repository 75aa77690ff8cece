"""A cell backed up, lost and restored through the composed stack, and what happens when parts of the stack go away."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.stack import Stack
from tests.support.docker_engine import Images, RunContainer, TestContainer
from tests.support.restoring import restore, saved
from tests.support.trees import describe, differences
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

PASSPHRASE = "a long Paßphrase, with spaces"


def install(stack: Stack, container: TestContainer, **volume: Any) -> None:
    """Install the one service of the cell."""
    folder = stack.cell / "data/services/files"
    folder.mkdir(exist_ok=True)
    manifest = {
        "id": "files",
        "container_name": container.name,
        "capabilities": {"has_storage": True},
        "backup": {"volumes": [{"name": "files", "path": "/vol", **volume}]},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def empty(folder: Path, *, but: str = "") -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path.name != but:
                shutil.rmtree(path)
        else:
            path.unlink()


def test_everything_is_ready(stack: Stack) -> None:
    with stack.client() as service:
        answer = service.get("/ready")
        assert answer["ready"] is True
        assert {check["name"] for check in answer["checks"] if check["ok"]} >= {
            "redis",
            "worker",
            "cell_root",
            "engine",
        }
        assert all(check["ok"] for check in answer["checks"])


def test_a_cell_comes_back_through_the_stack(stack: Stack, images: Images, run_container: RunContainer) -> None:
    with run_container(images.gnu) as container, stack.client() as service:
        install(stack, container)
        (container.volume / "Grüße").mkdir()
        (container.volume / "Grüße/letter.txt").write_bytes(b"Dear Ada,\n" * 100_000)
        cell, volume = saved(describe(stack.cell)), describe(container.volume)
        done = service.backup(passphrase=PASSPHRASE)
        assert (done["state"], done["warnings"]) == ("succeeded", [])

        empty(stack.cell, but="backups")
        empty(container.volume)
        restored = restore(service, done["backup_id"], passphrase=PASSPHRASE)
        assert restored["state"] == "succeeded", restored
        assert differences(cell, saved(describe(stack.cell))) == []
        assert differences(volume, describe(container.volume)) == []


def test_a_schedule_encrypts_with_a_passphrase_from_a_file_that_only_root_reads(stack: Stack) -> None:
    secret = stack.home / "secrets/passphrase"
    secret.touch(mode=0o600)
    secret.write_text(PASSPHRASE)
    wanted = {"name": "nightly", "cron": "30 2 * * *", "passphrase_file": "/etc/cell-backup/passphrase", "services": []}
    with stack.client() as service:
        service.ask("POST", "/api/schedules", expect=201, json=wanted)
        job = service.ask("POST", "/api/schedules/nightly/run", expect=202).json()
        done = service.wait_for(job["job_id"])
        assert done["state"] == "succeeded", done
        restored = restore(service, done["backup_id"], passphrase=PASSPHRASE)
        assert restored["state"] == "succeeded", restored
        service.ask("DELETE", "/api/schedules/nightly", expect=204)


def test_the_command_line_works_in_the_stack(stack: Stack) -> None:
    with stack.client() as service:
        archive = service.backup(services=[], components=["web"])["result"]["file_name"]
    changed = stack.cell / "config/caddy/Caddyfile"
    before = changed.read_bytes()
    changed.write_bytes(b"# changed\n")
    options = ("--rm", "--no-deps", "-T", "worker", "restore", str(stack.backups / archive))
    assert "Caddyfile" in stack.compose("run", *options, f"--cell-root={stack.cell}", "--dry-run")
    assert changed.read_bytes() == b"# changed\n"
    stack.compose("run", *options, f"--cell-root={stack.cell}")
    assert changed.read_bytes() == before


def test_job_records_outlive_redis(stack: Stack) -> None:
    with stack.client() as service:
        before = service.backup(services=[], components=["web"])
        stack.kill("redis")
        eventually(lambda: stack.inspect("redis")["RestartCount"] > 0, what="the engine restarts Redis")
        stack.wait_until_healthy("redis", "api")
        assert service.job(before["job_id"]) == before
        stack.compose("restart", "redis")
        stack.wait_until_healthy("redis", "api")
        assert service.job(before["job_id"]) == before
        assert service.backup(services=[], components=["web"])["state"] == "succeeded"


def stalled_backup(stack: Stack, container: TestContainer) -> str:
    """Start a backup that hangs in a hook, and give its job's id once it does."""
    install(stack, container, pre=["sh", "-c", "echo >/vol/begun; sleep 1000"])
    with stack.client() as service:
        job_id: str = service.start_backup(components=[], services=["files"])["job_id"]
    eventually((container.volume / "begun").exists, what="the backup is in its hook")
    install(stack, container)
    return job_id


def test_a_worker_that_dies_in_mid_job_comes_back_and_the_job_ends(
    stack: Stack, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.gnu) as container, stack.client() as service:
        job_id = stalled_backup(stack, container)
        stack.kill("worker")
        done = service.wait_for(job_id)
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")
        assert service.backup(components=[], services=["files"])["state"] == "succeeded"
        assert stack.inspect("worker")["RestartCount"] > 0
        assert list(stack.backups.glob(".*")) == []


def test_a_worker_that_hangs_in_mid_job_is_replaced(stack: Stack, images: Images, run_container: RunContainer) -> None:
    with run_container(images.gnu) as container, stack.client() as service:
        job_id = stalled_backup(stack, container)
        hanging = stack.process("worker", "workers.main")
        os.kill(hanging, signal.SIGSTOP)
        done = service.wait_for(job_id)
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")
        assert service.backup(components=[], services=["files"])["state"] == "succeeded"
        assert stack.process("worker", "workers.main") != hanging


def test_a_worker_that_is_stopped_in_mid_job_ends_it_within_its_grace(
    stack: Stack, images: Images, run_container: RunContainer
) -> None:
    with run_container(images.gnu) as container, stack.client() as service:
        job_id = stalled_backup(stack, container)
        stack.compose("stop", "worker")
        done = service.job(job_id)
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_stopped")
        assert stack.inspect("worker")["State"]["ExitCode"] == 0
        stack.compose("start", "worker")
        assert service.backup(components=[], services=["files"])["state"] == "succeeded"
