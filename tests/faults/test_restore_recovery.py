"""A cell that could not be put back stays owed: the next job, or the next start of the worker, does it first."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from app.catalog.local import LocalStore, write_sidecar
from app.cell.restoring.workspace import open_workspace
from app.engine.base import ContainerState
from app.engine.memory import MemoryEngine
from app.engine.memory_writing import MemoryWriting
from app.errors import Code, PartError
from app.jobs.records import Job, JobKind, JobState
from tests.faults.house import BACKUP_ID, House, tar_of
from tests.faults.restoring import (
    NEWER_MAIL,
    Snapshot,
    assert_restored,
    assert_same,
    change,
    code_of,
    files_of,
    furnish,
    lock_up,
    queue_restore,
    restored,
    result_of,
    safety_of,
    saved_and_changed,
    snapshot,
    volume,
)
from tests.support.waiting import eventually_async
from workers.backup import backup
from workers.expiry import remove_expired
from workers.maintenance import recover_cell
from workers.prune import prune
from workers.restore import restore
from workers.verify import verify_archive

BROKE = PartError(Code.STREAM_CUT, "It broke.")
AWAY = PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")
WORKSPACE = ".cell-backup/restore"


class GoesAway(MemoryEngine):
    """Break while a volume is written, and be away from then on until `back` is called."""

    def go(self, house: House) -> None:
        self.machines = house.machines
        volume(house, "mail").planned = [
            MemoryWriting(fault=BROKE, fault_at=3000),
            *[MemoryWriting(refused=AWAY)] * 50,
        ]
        house.memory_engine = self

    def back(self, house: House) -> None:
        volume(house, "mail").planned = []


async def dead(*_: object) -> None:
    """Do not get to putting anything back, as a process that is killed."""


async def left_between(house: House, engine: GoesAway, **request: Any) -> tuple[Snapshot, Job]:
    """Let a restore fail, and its rollback too; give what the cell was like before, and the job."""
    _, before = await saved_and_changed(house)
    engine.go(house)
    job = await restored(house, **request)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.ROLLBACK_FAILED)
    assert (house.root / WORKSPACE / "journal").exists()
    assert (house.root / "data/vault/ca.key").read_bytes() == b"vault"
    assert files_of(volume(house, "mail").tar) == {}
    return before, job


async def run_kind(house: House, kind: JobKind) -> Job:
    """Run a job of a kind, of the first backup."""
    works = {
        JobKind.BACKUP: backup,
        JobKind.VERIFY: verify_archive,
        JobKind.RESTORE: restore,
        JobKind.PRUNE: prune,
    }
    backup_id = "backup-20261123-030000-00000e" if kind is JobKind.BACKUP else BACKUP_ID
    job = Job(uuid4().hex, kind, JobState.QUEUED, datetime.now(UTC), backup_id, {"regenerate": "off"})
    await house.jobs.store.create(job, max_queued=9)
    return await house.work(works[kind], job_id=job.job_id)


async def test_the_job_says_what_could_not_be_put_back(house: House) -> None:
    _, job = await left_between(house, GoesAway())
    assert job.error is not None
    assert "mail/mailboxes" in job.error.message
    assert safety_of(job) in job.error.message
    assert job.error.hint
    assert result_of(job).get("rolled_back") is not True
    assert "next" not in result_of(job)


@pytest.mark.parametrize("kind", JobKind)
async def test_no_job_begins_while_that_is_impossible(house: House, kind: JobKind) -> None:
    await left_between(house, GoesAway())
    between = snapshot(house)
    job = await run_kind(house, kind)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.ROLLBACK_FAILED)
    assert snapshot(house).volumes == between.volumes
    assert (house.root / WORKSPACE / "journal").exists()


@pytest.mark.parametrize("kind", JobKind)
async def test_the_next_job_puts_back_first_and_then_does_its_work(house: House, kind: JobKind) -> None:
    engine = GoesAway()
    before, _ = await left_between(house, engine)
    engine.back(house)
    job = await run_kind(house, kind)
    assert job.state is JobState.SUCCEEDED, job.error
    (said,) = [line for line in job.warnings if "was cut off" in line]
    assert BACKUP_ID in said
    if kind is not JobKind.RESTORE:
        assert_same(house, before)
    assert not (house.root / ".cell-backup").exists()


async def test_the_worker_puts_back_at_its_start_when_the_engine_is_there_again(house: House) -> None:
    engine = GoesAway()
    before, _ = await left_between(house, engine)
    await recover_cell(house.tools)
    assert (house.root / WORKSPACE / "journal").exists()
    engine.back(house)
    await recover_cell(house.tools)
    assert_same(house, before)
    await recover_cell(house.tools)
    assert_same(house, before)


async def test_an_encrypted_safety_archive_is_opened_with_the_key_that_the_journal_has(house: House) -> None:
    furnish(house)
    data_key = await lock_up(house)
    change(house)
    before = snapshot(house)
    engine = GoesAway()
    engine.go(house)
    assert code_of(await restored(house, data_key=data_key)) == Code.ROLLBACK_FAILED
    journal = (house.root / WORKSPACE / "journal").read_bytes()
    assert data_key not in journal
    engine.back(house)
    seal, house.seal = house.seal, Fernet(Fernet.generate_key())
    job = await run_kind(house, JobKind.BACKUP)
    assert code_of(job) == Code.ROLLBACK_FAILED
    assert job.error is not None
    assert "STATE_DIR" in job.error.hint
    house.seal = seal
    await recover_cell(house.tools)
    assert_same(house, before)


async def test_the_record_of_a_dead_job_says_which_way_it_went(house: House) -> None:
    engine = GoesAway()
    before, job = await left_between(house, engine)
    dead = replace(job, job_id="d" * 32, state=JobState.RUNNING, error=None, finished_at=None, warnings=())
    other = replace(dead, job_id="e" * 32, kind=JobKind.BACKUP, backup_id="backup-20261123-030000-00000e")
    for record in (dead, other):
        await house.jobs.store.create(replace(record, state=JobState.QUEUED), max_queued=9)
        await house.jobs.store.update(record)
    engine.back(house)
    await recover_cell(house.tools)
    assert_same(house, before)
    ended = await house.record(dead.job_id)
    assert (ended.state, code_of(ended)) == (JobState.FAILED, Code.WORKER_LOST)
    assert ended.warnings == (
        f"After the worker died: the restore of {BACKUP_ID} was cut off, and the cell was put back as it was before.",
    )
    assert (await house.record(other.job_id)).warnings == ()


async def test_the_record_of_a_dead_job_says_that_it_could_not_be_put_back(house: House) -> None:
    _, job = await left_between(house, GoesAway())
    dead = replace(job, job_id="d" * 32, state=JobState.QUEUED, error=None, finished_at=None, warnings=())
    await house.jobs.store.create(dead, max_queued=9)
    await house.jobs.store.update(replace(dead, state=JobState.RUNNING))
    await recover_cell(house.tools)
    ended = await house.record(dead.job_id)
    assert (ended.state, code_of(ended)) == (JobState.FAILED, Code.WORKER_LOST)
    (said,) = ended.warnings
    archive = f"the safety archive {safety_of(job)}"
    why = f"Volumes are not put back yet from {archive}: mail/mailboxes: No engine listens."
    assert said == f"After the worker died: {why}"


async def test_a_dead_restore_that_was_committed_is_finished(house: House) -> None:
    furnish(house)
    before = snapshot(house)
    with open_workspace(house.root, job_id="d" * 32, backup_id=BACKUP_ID) as workspace:
        workspace.commit()
        (house.root / ".cell-backup").rename(house.root / "kept")
    (house.root / "kept").rename(house.root / ".cell-backup")
    queued = await queue_restore(house)
    await house.jobs.store.update(replace(queued, state=JobState.RUNNING))
    await recover_cell(house.tools)
    ended = await house.record(queued.job_id)
    assert ended.warnings == (f"After the worker died: the restore of {BACKUP_ID} had been done, and was finished.",)
    assert not (house.root / ".cell-backup").exists()
    now = snapshot(house)
    assert {path: facts for path, facts in now.tree.items() if path != b"."} == {
        path: facts for path, facts in before.tree.items() if path != b"."
    }


@pytest.mark.parametrize("safety", ["none", "files"])
async def test_volumes_that_nobody_saved_do_not_block_the_cell_for_ever(
    house: House, safety: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies while it writes such a volume leaves a journal; the files come back, the volume is named."""
    _, before = await saved_and_changed(house)
    volume(house, "mail").planned = [MemoryWriting(fault=BROKE, fault_at=3000)]

    with monkeypatch.context() as patched:
        patched.setattr("workers.restore._Restore._put_back", dead)
        patched.setattr("workers.restore._Restore._put_volumes_back", dead)
        job = await restored(house, safety=safety)
    assert code_of(job) == Code.STREAM_CUT
    assert (house.root / WORKSPACE / "journal").exists()
    after = await run_kind(house, JobKind.VERIFY)
    assert after.state is JobState.SUCCEEDED, after.error
    (said,) = [line for line in after.warnings if "was cut off" in line]
    assert "mail/mailboxes" in said
    assert said.endswith("no safety archive has the volumes.")
    volume(house, "mail").tar = tar_of(NEWER_MAIL)
    assert_same(house, before)


async def test_a_container_that_was_held_still_runs_again_only_once_its_volume_is_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(house)
    house.add_mail(volume(house, "mail").tar, quiesce="pause")
    await house.back_up()
    change(house)
    before = snapshot(house)
    volume(house, "mail").planned = [MemoryWriting(fault=BROKE, fault_at=3000)]

    with monkeypatch.context() as patched:
        patched.setattr("workers.restore._Restore._put_back", dead)
        patched.setattr("workers.restore._Restore._put_volumes_back", dead)
        await restored(house)
    # as a process that was killed leaves it
    house.machines["cell-mail"].state = ContainerState.PAUSED
    house.journal.mkdir(exist_ok=True)
    (house.journal / "cell-mail.json").write_text('{"container": "cell-mail", "mode": "pause"}')
    house.memory_engine.calls.clear()
    await recover_cell(house.tools)
    assert_same(house, before)
    calls = [call for call, name in house.memory_engine.calls if name == "cell-mail"]
    assert [call for call in calls if call in {"unpause", "write_volume"}] == ["write_volume", "unpause"]


async def test_helpers_that_a_dead_worker_left_are_removed(house: House) -> None:
    house.memory_engine.helpers = ["cell-backup-helper-1"]
    await recover_cell(house.tools)
    assert house.memory_engine.helpers == []


async def test_engine_that_is_away_does_not_keep_the_worker_from_starting(house: House) -> None:
    house.memory_engine.faults["sweep_helpers"] = AWAY
    await recover_cell(house.tools)
    assert ("sweep_helpers", "") in house.memory_engine.calls
    assert (await house.back_up()).state is JobState.SUCCEEDED


async def test_no_archive_is_removed_by_rule_while_a_rollback_is_owed(house: House) -> None:
    engine = GoesAway()
    _, job = await left_between(house, engine)
    store = LocalStore(house.archives)
    entry = replace(store.get(safety_of(job)), expires_at=datetime.now(UTC) - timedelta(days=1))
    write_sidecar(house.archives / f"{safety_of(job)}.json", entry)
    await remove_expired(house.tools)
    assert safety_of(job) in [entry.backup_id for entry in store.entries()]
    await run_kind(house, JobKind.VERIFY)
    assert safety_of(job) in [entry.backup_id for entry in store.entries()]
    engine.back(house)
    await recover_cell(house.tools)
    await remove_expired(house.tools)
    assert [entry.backup_id for entry in store.entries()] == [BACKUP_ID]


@pytest.mark.parametrize("kind", JobKind)
async def test_another_process_that_restores_is_not_disturbed(
    house: House, kind: JobKind, caplog: pytest.LogCaptureFixture
) -> None:
    await saved_and_changed(house)
    with open_workspace(house.root, job_id="d" * 32, backup_id=BACKUP_ID):  # its lock is that of an open file
        before = snapshot(house)
        job = await run_kind(house, kind)
        assert (job.state, code_of(job)) == (JobState.FAILED, Code.CELL_BUSY)
        assert_same(house, before)
        recovering = asyncio.create_task(recover_cell(house.tools))

        async def waits() -> bool:
            return "recovery waits" in caplog.text

        await eventually_async(waits, what="the recovery waits")
        assert not recovering.done()
        assert_same(house, before)
    await recovering
    assert (await run_kind(house, JobKind.RESTORE)).state is JobState.SUCCEEDED


async def test_a_restore_after_one_that_was_put_back_goes_well(house: House) -> None:
    saved, before = await saved_and_changed(house)
    volume(house, "site").planned = [MemoryWriting(fault=BROKE)]
    assert code_of(await restored(house)) == Code.STREAM_CUT
    assert_same(house, before)
    assert (await restored(house)).state is JobState.SUCCEEDED
    assert_restored(house, saved)
