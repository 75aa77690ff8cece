"""What must be true after every fault: one function says all that is not."""

import json
from pathlib import Path
from typing import Any

import redis

from tests.faults.processes.cells import Side
from tests.faults.processes.receiver import OTHER_SECRET, SECRET
from tests.faults.processes.world import PASSPHRASE, World
from tests.support.waiting import eventually

Job = dict[str, Any]
DONE = {"succeeded", "partial"}
# a webhook that a killed worker had in hand is due again after a minute, and only then sent
_TIDY_SECONDS = 120.0


def prove_sound(world: World, kind: str, job: Job) -> Side:
    """Fail unless the job ended as it says, and nothing but its end is left of it; give the side the cell is on."""
    found: list[str] = []

    def sound() -> bool:
        found[:] = faults(world, kind, job)
        return not found

    try:
        # the job's end is there already: what is waited for is the worker that tidies up, and the webhook
        eventually(sound, what="all is sound", limit=_TIDY_SECONDS)
    except AssertionError:
        told = "\n".join(found)
        raise AssertionError(f"{told}\n{json.dumps(_short(job))}\n{world.workers.say()}") from None
    side = world.side_of_files()
    assert side is not None
    world.side = side
    _check_archives(world, job)
    world.sound = True
    return side


def faults(world: World, kind: str, job: Job) -> list[str]:
    """Say everything that is not as it must be, the cheapest to see first."""
    return (
        _in_redis(world)
        or _in_folders(world)
        or _told(world, job)
        or _in_jobs(world, job)
        or _in_cell(world, kind, job)
        or world.containers.faults()
    )


def _short(job: Job) -> Job:
    return {**job, "result": {name: told for name, told in (job["result"] or {}).items() if name != "plan"}}


def _in_redis(world: World) -> list[str]:
    with redis.Redis.from_url(world.redis.url) as client:
        keys = [key.decode() for key in client.scan_iter()]
    # the sealed secret of a webhook stays for a week, so that it can be sent again
    left = [key for key in keys if ":lease:" in key or (":secret:" in key and not key.endswith(".webhook"))]
    return [f"{key} is left in Redis" for key in left]


def _in_folders(world: World) -> list[str]:
    """Look for temporary files, a restore's workspace, containers that somebody holds still."""
    place = world.place
    backups = world.backups
    left = [path for path in (place.cell / ".cell-backup", *(place.state / "quiesced").glob("*")) if path.exists()]
    for folder in (backups, place.cell, place.state):
        left += [path for path in folder.rglob("*") if _is_temporary(path.name)]
    names = {path.name for path in backups.iterdir()}
    for name in names - world.known_files:
        if name.endswith(".json") and not names & {name[:-5] + ".tar.gz", name[:-5] + ".tar.gz.age"}:
            left.append(backups / name)
    return [f"{path} is left" for path in left]


def _is_temporary(name: str) -> bool:
    return name.endswith((".partial", ".tmp")) or name.startswith((".cell-backup-", ".tmp"))


def _told(world: World, job: Job) -> list[str]:
    """Look for the webhooks and for the line in the audit log."""
    wrong = world.receiver.faults(job, wanted={"request": OTHER_SECRET, "default": SECRET})
    log = world.place.state / "audit.log"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    ends = [line for line in lines if line.get("event") == "job_ended" and job["job_id"] in json.dumps(line)]
    if not any(job["state"] in json.dumps(line) for line in ends):
        wrong.append("the audit log does not have the job's end")
    return wrong


def _in_jobs(world: World, job: Job) -> list[str]:
    listed = world.service.get("/api/jobs", params={"limit": 100})["jobs"]
    wrong = [f"{one['job_id']} is {one['state']}" for one in listed if one["state"] in {"queued", "running"}]
    if {**world.service.job(job["job_id"]), "webhooks": None} != {**job, "webhooks": None}:
        wrong.append("the ended job has changed")
    return wrong


def _in_cell(world: World, kind: str, job: Job) -> list[str]:
    """Compare the cell with the side that the job's record says it is on."""
    if kind != "restore":
        return world.wrong_files(world.side)
    if job["state"] in DONE:
        return world.wrong_files(world.side.other)
    finished = any("had been done" in warning for warning in job["warnings"])
    return world.wrong_files(world.side.other if finished else world.side)


def _check_archives(world: World, job: Job) -> None:
    """Prove every archive whole that came with the job, and remove it."""
    listed = {one["backup_id"]: one for one in world.service.get("/api/config/backups")["backups"]}
    assert set(world.archives.values()) <= listed.keys()
    if job["kind"] == "backup":
        assert (job["backup_id"] in listed) is (job["state"] in DONE), job
    for backup_id in listed.keys() - set(world.archives.values()):
        secret = world.place.home / "passphrase"
        secret.write_text(PASSPHRASE)
        options: list[str | Path] = ["--passphrase-file", secret] if listed[backup_id]["encrypted"] else []
        done = world.place.cli("verify", world.backups / listed[backup_id]["file_name"], *options)
        assert b": whole; " in done.stdout, done  # also where it says that a part could not be saved
        world.service.ask("DELETE", f"/api/config/backups/{backup_id}", expect=204)
    assert {path.name for path in world.backups.iterdir()} == world.known_files
