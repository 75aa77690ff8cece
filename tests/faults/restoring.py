"""Restores in the house: a furnished cell, a backup of it, a cell that changed since, and what must be the same."""

import asyncio
import io
import os
import tarfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.archive.envelope import new_envelope
from app.engine.base import ContainerState
from app.engine.memory import MemoryContainer, MemoryVolume
from app.errors import Code
from app.jobs.keys import pack_keys
from app.jobs.records import Job, JobKind, JobState
from tests.faults.house import BACKUP_ID, House, add_service, tar_of, write
from tests.support.trees import Tree, describe, differences
from workers.restore import restore

COMPONENTS = ("vault", "identity", "web", "access", "credentials", "rest")
STAGES = ("verify", "plan", "safety", *COMPONENTS, "reload", "volumes", "regenerate", "finish")
PASSPHRASE = "correct horse battery staple"

MAIL = {"ada/1": b"old mail", "ada/2": b"b" * 5000, "bob/1": b"c" * 70_000}
SITE = {"index.html": b"<h1>old</h1>"}
NEWER_MAIL = {"ada/1": b"edited", "ada/3": b"new mail"}
NEWER_SITE = {"index.html": b"<h1>new</h1>", "added.html": b"added"}

Members = dict[str, tuple[bytes, int, int, int, float, str, bytes]]


def furnish(house: House) -> None:
    """Put more into the cell: files beside the folders, links, owners, old times, logs, and two services."""
    root = house.root
    house.configure(backup_dir=house.settings.state_dir.parent / "archives")
    write(root / ".env", b"TOKEN=secret\nEMPTY=\n")
    write(root / "docker-compose.yml", b"services:\n  api:\n    environment:\n      TOKEN: ${TOKEN}\n")
    write(root / "Makefile", b"restart:\n\techo restarted\n")
    write(root / "config/dns/Corefile", b". { file /data/cell.zone }")
    write(root / "data/dns/cell.zone", b"@ IN A 10.0.0.1")
    write(root / "data/caddy/certificates/cell.example.key", b"acme")
    write(root / "data/logs/access.log", b"an old line\n")
    (root / "data/something/link").symlink_to("../../outside")
    os.link(root / "data/something/else", root / "data/something/same")
    (root / "data/vault/ca.key").chmod(0o600)
    (root / "data/empty").mkdir(mode=0o711)
    os.setxattr(root / "data/ddns_token", "user.note", b"\x00\xff")
    if os.geteuid() == 0:
        os.chown(root / "data/service_credentials/mail.json", 1000, 1001)
    house.add_mail(tar_of(MAIL))
    add_service(root, "site", {"name": "pages", "path": "/srv"})
    house.machines["cell-site"] = MemoryContainer({"/srv": MemoryVolume(tar_of(SITE))})
    _make_old(root)


def _make_old(root: Path) -> None:
    """Give everything a time of its own, long ago."""
    for number, path in enumerate(sorted([root, *root.rglob("*")], reverse=True)):
        os.utime(path, ns=(0, (1_600_000_000 + number) * 10**9 + number), follow_symlinks=False)


def change(house: House) -> None:
    """Let the cell go on after the backup: in every component something is changed, lost or new; so are the volumes."""
    root = house.root
    write(root / "data/vault/ca.key", b"another vault")
    (root / "data/vault/ca.crt").unlink()
    write(root / ".env", b"TOKEN=changed\n")
    write(root / "data/wireguard/peers/new.conf", b"a peer that came later")
    write(root / "data/dns/stale.zone", b"@ IN A 10.0.0.99")
    (root / "config/caddy/Caddyfile").unlink()
    (root / "data/ddns_token").chmod(0o640)
    (root / "data/service_credentials/mail.json").write_bytes(b"other credentials")
    write(root / "data/something/newer", b"came later")
    (root / "data/something/link").unlink()
    (root / "data/something/link").mkdir()
    write(root / "data/something/link/inside", b"a folder where a link was")
    write(root / "data/logs/access.log", b"an old line\na new line\n")
    volume(house, "mail").tar = tar_of(NEWER_MAIL)
    volume(house, "site").tar = tar_of(NEWER_SITE)


def volume(house: House, service: str) -> MemoryVolume:
    """Give the one volume of a service's container."""
    (only,) = house.machines[f"cell-{service}"].volumes.values()
    return only


def contents(tar: bytes) -> Members:
    """Describe what a volume holds, whatever dialect its tar is in."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        return {
            os.path.normpath(item.name): (
                item.type,
                item.mode,
                item.uid,
                item.gid,
                item.mtime,
                item.linkname,
                (members.extractfile(item) or io.BytesIO()).read() if item.isreg() else b"",
            )
            for item in members
        }


def files_of(tar: bytes) -> dict[str, bytes]:
    """Give the regular files that a volume holds."""
    return {name: facts[-1] for name, facts in contents(tar).items() if facts[0] == tarfile.REGTYPE}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold all that a restore may change: the cell's tree with its times, the volumes, the containers' states."""

    tree: Tree
    volumes: dict[tuple[str, str], Members]
    states: dict[str, ContainerState]


def snapshot(house: House) -> Snapshot:
    """Look at everything."""
    machines = house.machines.items()
    return Snapshot(
        describe(house.root),
        {(name, path): contents(held.tar) for name, machine in machines for path, held in machine.volumes.items()},
        {name: machine.state for name, machine in machines},
    )


def assert_same(house: House, before: Snapshot) -> None:
    """Check that nothing differs, not even a time, and that no workspace is left."""
    now = snapshot(house)
    found = differences(before.tree, now.tree)
    assert not found, found
    assert now.volumes == before.volumes
    assert now.states == before.states


def assert_restored(house: House, saved: Snapshot, *, volumes: bool = True) -> None:
    """Check that the cell is as it was saved, but for what no backup holds: logs, and the times of the root."""
    now = snapshot(house)
    found = differences(held_by_backups(saved.tree), held_by_backups(now.tree))
    assert not found, found
    assert not (house.root / ".cell-backup").exists()
    if volumes:
        assert now.volumes == saved.volumes
        assert now.states == saved.states


def assert_put_back(house: House, before: Snapshot, job: Job, code: Code, state: JobState = JobState.FAILED) -> None:
    """Check that all is as it was before the restore, and that the job says so."""
    assert (job.state, code_of(job)) == (state, code), job.error
    assert_same(house, before)
    assert result_of(job)["rolled_back"] is True
    assert "next" not in result_of(job)
    assert not [r for r in job.components if r.outcome in {"succeeded", "running", "pending"}]
    assert not (house.root / ".cell-backup").exists()
    assert list(house.journal.glob("*")) == []


def held_by_backups(tree: Tree) -> Tree:
    """Leave out what no backup holds."""
    return {path: facts for path, facts in tree.items() if path != b"." and b"logs" not in path.split(b"/")}


async def lock_up(house: House) -> bytes:
    """Back the cell up encrypted; give the data key."""
    envelope, data_key = new_envelope(PASSPHRASE, scrypt_n=1024)
    job = await house.queue(envelope=envelope.to_line())
    await house.jobs.secrets.seal(job.job_id, data_key)
    ended = await house.work()
    assert ended.state is JobState.SUCCEEDED, ended.error
    return data_key


async def queue_restore(
    house: House, backup_id: str = BACKUP_ID, *, data_key: bytes | None = None, **request: Any
) -> Job:
    """Queue a restore as the API does; one of an encrypted archive makes an encrypted safety archive."""
    packed = None
    if data_key is not None:
        envelope, safety_key = new_envelope(PASSPHRASE, scrypt_n=1024)
        request["safety_envelope"] = envelope.to_line()
        packed = pack_keys(data_key, safety_key)
    wanted = {"regenerate": "off", **request}
    job = Job(uuid4().hex, JobKind.RESTORE, JobState.QUEUED, datetime.now(UTC), backup_id, wanted)
    await house.jobs.store.create(job, max_queued=10, sole=True)
    if packed is not None:
        await house.jobs.secrets.seal(job.job_id, packed)
    return job


async def restored(house: House, backup_id: str = BACKUP_ID, **request: Any) -> Job:
    """Queue a restore and run it to its end."""
    job = await queue_restore(house, backup_id, **request)
    return await house.work(restore, job_id=job.job_id)


async def saved_and_changed(house: House) -> tuple[Snapshot, Snapshot]:
    """Furnish the cell, back it up and let it change: what it was like at the backup, and what it is like now."""
    furnish(house)
    saved = snapshot(house)
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED, job.error
    assert_same(house, saved)
    change(house)
    return saved, snapshot(house)


def result_of(job: Job) -> dict[str, Any]:
    """Give the job's result, which is there."""
    assert job.result is not None
    return job.result


def code_of(job: Job) -> str | None:
    """Give the code of the job's error."""
    return None if job.error is None else job.error.code


def safety_of(job: Job) -> str:
    """Give the id of the safety archive that the job made."""
    return str(result_of(job)["safety_backup_id"])


async def while_it_runs(house: House, job: Job, stage: str, then: Callable[[], Awaitable[Any]]) -> Job:
    """Run a restore, do something once it is in a stage, and give its record at the end."""
    running = asyncio.create_task(house.work(restore, job_id=job.job_id))
    await house.seen_in(stage, job_id=job.job_id)
    await then()
    return await running
