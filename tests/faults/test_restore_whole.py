"""A restore brings the cell back as the archive has it, in the order that the cell needs."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from typing_extensions import override

from app.cell.restoring.journal import Journal, Kind
from app.engine.base import ContainerState, VolumeSink
from app.engine.memory import MemoryContainer, MemoryEngine
from app.errors import Code, PartError
from app.jobs.records import JobState
from tests.faults.house import House, add_service, outcomes, part, tar_of, write
from tests.faults.proof import prove
from tests.faults.restoring import (
    COMPONENTS,
    MAIL,
    STAGES,
    assert_restored,
    assert_same,
    change,
    code_of,
    files_of,
    furnish,
    held_by_backups,
    lock_up,
    restored,
    result_of,
    saved_and_changed,
    snapshot,
    volume,
)
from tests.support.trees import differences
from workers.restore import NEXT


async def test_everything_is_as_it_was_saved(house: House) -> None:
    saved, _ = await saved_and_changed(house)
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert_restored(house, saved)
    assert job.progress.percent == 100
    assert result_of(job)["next"] == NEXT
    assert outcomes(job.components) == dict.fromkeys((*COMPONENTS, "mail/mailboxes", "site/pages"), "succeeded")
    assert await house.jobs.leases.holder(str(house.root)) is None


async def test_the_steps_come_in_order_and_say_what_they_did(house: House) -> None:
    await saved_and_changed(house)
    job = await restored(house)
    steps = result_of(job)["steps"]
    assert tuple(step["stage"] for step in steps) == STAGES
    assert {step["stage"]: step["state"] for step in steps} == dict.fromkeys(STAGES, "succeeded")
    by_name = {step["stage"]: step for step in steps}
    assert by_name["verify"]["files"] == result_of(job)["plan"]["archive"]["files"]
    assert by_name["safety"]["backup_id"] == result_of(job)["safety_backup_id"]
    assert by_name["safety"]["size"] > 0
    assert by_name["volumes"]["files"] == len(MAIL) + 1
    assert part(job, "mail/mailboxes").files == len(MAIL)
    assert part(job, "mail/mailboxes").bytes == sum(map(len, MAIL.values()))
    assert part(job, "vault").files == 2
    assert part(job, "vault").bytes == len(b"vault") + len(b"certificate")


async def test_files_are_counted_as_the_backup_counted_them(house: House) -> None:
    """Links are no files, and a file with several names, in whatever components, is one."""
    furnish(house)
    (house.root / "data/vault/current.key").symlink_to("ca.key")
    os.link(house.root / "data/vault/ca.key", house.root / "data/vault/same.key")
    os.link(house.root / "data/vault/ca.key", house.root / "data/something/of the vault")
    saved = await house.back_up()
    counted = {result.part.label: (result.files, result.bytes) for result in prove(house).manifest.parts}
    assert counted["vault"] == (2, len(b"vault") + len(b"certificate"))
    assert counted == {result.part.label: (result.files, result.bytes) for result in saved.components}
    change(house)
    for what in ("replaced", "left as it is"):
        job = await restored(house)
        assert {result.part.label: (result.files, result.bytes) for result in job.components} == counted, what


async def test_each_part_comes_after_those_that_it_needs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is back already is looked at each time the journal announces something."""
    await saved_and_changed(house)
    root, mail = house.root, volume(house, "mail")
    signs: dict[str, Callable[[], bool]] = {
        "vault": lambda: (root / "data/vault/ca.key").read_bytes() == b"vault",
        "identity": lambda: b"secret" in (root / ".env").read_bytes(),
        "web": lambda: not (root / "data/dns/stale.zone").exists(),
        "access": lambda: (root / "data/ddns_token").stat().st_mode & 0o777 == 0o644,
        "credentials": lambda: (root / "data/service_credentials/mail.json").read_bytes() == b"credentials",
        "rest": (root / "data/something/link").is_symlink,
        "mailboxes": lambda: files_of(mail.tar) == MAIL,
    }
    seen: dict[str, set[str]] = {}
    original = Journal.note

    def watched(self: Journal, kind: str, **facts: Any) -> None:
        original(self, kind, **facts)
        name = facts["name"] if kind == Kind.COMPONENT else facts["part"]["name"] if kind == Kind.VOLUME else kind
        seen[name] = {what for what, is_done in signs.items() if is_done()}

    monkeypatch.setattr(Journal, "note", watched)
    assert (await restored(house)).state is JobState.SUCCEEDED
    assert seen[Kind.PREPARED] == set()
    for number, name in enumerate((*COMPONENTS, "mailboxes")):
        assert seen[name] == set(COMPONENTS[:number]), name
    assert seen["pages"] == seen[Kind.COMMITTED] == set(signs)


async def test_encrypted(house: House) -> None:
    furnish(house)
    saved = snapshot(house)
    data_key = await lock_up(house)
    change(house)
    job = await restored(house, data_key=data_key)
    assert job.state is JobState.SUCCEEDED, job.error
    assert_restored(house, saved)
    assert house.jobs.secrets._secrets == {}


async def test_encrypted_without_its_key_changes_nothing(house: House) -> None:
    furnish(house)
    data_key = await lock_up(house)
    change(house)
    before = snapshot(house)
    job = await restored(house, data_key=data_key[::-1])
    assert job.state is JobState.FAILED
    assert_same(house, before)
    job = await restored(house)
    assert code_of(job) == Code.SECRET_GONE
    assert_same(house, before)


async def test_a_second_restore_changes_no_file(house: House) -> None:
    saved, _ = await saved_and_changed(house)
    await restored(house)
    once = snapshot(house)
    inodes = {path: os.lstat(path).st_ino for path in house.root.rglob("*")}
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED
    assert_same(house, once)
    assert {path: os.lstat(path).st_ino for path in house.root.rglob("*")} == inodes
    assert_restored(house, saved)


async def test_archives_in_the_cell_root_are_no_part_of_it(house: House) -> None:
    furnish(house)
    house.configure(backup_dir=None)
    saved = snapshot(house)
    await house.back_up()
    change(house)
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    shutil.rmtree(house.root / "backups")
    assert_restored(house, saved)


# --- the cell's own quick archive


def quick_archive(house: House, *wanted: str) -> str:
    """Put a cell's own archive into the backup directory, as `make backup` writes it."""
    name = "cell-backup-20261123-020000"
    house.archives.mkdir()
    target = house.archives / f"{name}.tar.gz"
    subprocess.run(["tar", "-czf", target, "--exclude=data/logs", "-C", house.root, *wanted], check=True)
    return name


async def test_a_quick_archive_leaves_what_it_never_has(house: House) -> None:
    furnish(house)
    saved = snapshot(house)
    name = quick_archive(house, "config", "data", "docker-compose.yml", "Makefile")
    change(house)
    now = snapshot(house)
    job = await restored(house, name)
    assert job.state is JobState.SUCCEEDED, job.error
    assert (house.root / ".env").read_bytes() == b"TOKEN=changed\n"
    assert not (house.root / "data/dns/stale.zone").exists()
    expected = saved.tree | {b".env": now.tree[b".env"]}
    # tar's ustar or GNU headers hold whole seconds and no xattrs
    ignored = ("mtime", "xattrs")
    assert differences(held_by_backups(expected), held_by_backups(snapshot(house).tree), ignoring=ignored) == []
    assert snapshot(house).volumes == now.volumes
    assert outcomes(job.components) == dict.fromkeys(COMPONENTS, "succeeded")


async def test_a_quick_archive_of_config_alone_removes_nothing_of_data(house: House) -> None:
    furnish(house)
    name = quick_archive(house, "config")
    change(house)
    write(house.root / "config/dns/later", b"came later")
    before = snapshot(house)
    job = await restored(house, name)
    assert job.state is JobState.SUCCEEDED, job.error
    assert not (house.root / "config/dns/later").exists()
    assert (house.root / "config/caddy/Caddyfile").read_bytes() == b"web"
    after = snapshot(house)
    assert not [line for line in differences(before.tree, after.tree) if line.startswith("b'data/")]


# --- containers


@pytest.mark.parametrize("state", [ContainerState.STOPPED, ContainerState.PAUSED])
async def test_a_container_that_does_not_run_gets_its_volume_too(house: House, state: ContainerState) -> None:
    saved, _ = await saved_and_changed(house)
    house.machines["cell-mail"].state = state
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert snapshot(house).volumes == saved.volumes
    assert house.machines["cell-mail"].state is state
    assert part(job, "mail/mailboxes").way == "helper"


async def test_how_a_container_is_held_is_what_the_restored_manifest_says(house: House) -> None:
    furnish(house)
    house.add_mail(tar_of(MAIL), quiesce="pause")
    await house.back_up()
    add_service(house.root, "mail", {"name": "mailboxes", "path": "/var/mail"})
    house.memory_engine.calls.clear()
    job = await restored(house, services=["mail"])
    assert job.state is JobState.SUCCEEDED, job.error
    held = [call for call in house.memory_engine.calls if call[0] in {"pause", "unpause", "write_volume"}]
    assert held[-3:] == [("pause", "cell-mail"), ("write_volume", "cell-mail"), ("unpause", "cell-mail")]
    assert house.machines["cell-mail"].state is ContainerState.RUNNING


async def test_a_container_that_no_longer_runs_afterwards_is_named(house: House) -> None:
    await saved_and_changed(house)
    machine = house.machines["cell-api"] = MemoryContainer()

    class Stopping(MemoryEngine):
        @override
        @asynccontextmanager
        async def write_volume(
            self, container: str, path: str, *, empty: bool, plain: bool = False
        ) -> AsyncIterator[VolumeSink]:
            machine.state = ContainerState.STOPPED
            async with super().write_volume(container, path, empty=empty, plain=plain) as sink:
                yield sink

    house.memory_engine = Stopping(house.machines)
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.warnings == ("cell-api ran before the restore and does not run now.",)


async def test_engine_that_is_away_restores_the_files_and_says_so(house: House) -> None:
    saved, changed = await saved_and_changed(house)
    house.memory_engine.faults["containers"] = PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")
    job = await restored(house)
    assert job.state is JobState.PARTIAL, job.error
    assert_restored(house, saved, volumes=False)
    assert snapshot(house).volumes == changed.volumes
    assert {r.part.label: r.outcome for r in job.components if r.error} == {
        "mail/mailboxes": "skipped",
        "site/pages": "skipped",
    }
