"""What a restore replaces is saved first, as an ordinary archive that can be restored itself and goes by rule."""

import errno
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.archive.envelope import read_envelope
from app.archive.verify import verify
from app.catalog.base import Entry, Verification
from app.catalog.local import LocalStore, write_sidecar
from app.errors import Code, PartError
from app.jobs.records import Job, JobState
from tests.faults.disks import FailingStore
from tests.faults.house import BACKUP_ID, House, names_in, part, write
from tests.faults.restoring import (
    COMPONENTS,
    PASSPHRASE,
    Snapshot,
    assert_restored,
    assert_same,
    change,
    code_of,
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
from tests.unit.cell.support import closed_doors_count
from workers.expiry import remove_expired


def entry_of(house: House, job: Job) -> Entry:
    return LocalStore(house.archives).get(safety_of(job))


async def test_it_is_an_ordinary_archive(house: House) -> None:
    await saved_and_changed(house)
    job = await restored(house)
    entry = entry_of(house, job)
    assert (entry.label, entry.outcome, entry.encrypted, entry.cell_name) == (
        "before-restore",
        "succeeded",
        False,
        "home",
    )
    assert entry.expires_at is not None
    assert abs(entry.expires_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=5)
    assert [result.part.label for result in entry.parts] == [*COMPONENTS, "mail/mailboxes", "site/pages"]
    with LocalStore(house.archives).open(entry.backup_id) as file:
        report = verify(file, data_key=None)
    assert report.header is not None
    assert report.header.backup_id == entry.backup_id
    assert (await house.jobs.store.page(limit=10))[1] == 2  # it has no job of its own


async def test_how_long_it_stays_is_a_setting(house: House) -> None:
    await saved_and_changed(house)
    house.configure(safety_days=0.5)
    entry = entry_of(house, await restored(house))
    assert entry.expires_at is not None
    assert entry.expires_at < datetime.now(UTC) + timedelta(hours=13)


async def test_it_brings_the_cell_back_to_what_it_was_before_the_restore(house: House) -> None:
    _, before = await saved_and_changed(house)
    first = await restored(house)
    second = await restored(house, safety_of(first))
    assert second.state is JobState.SUCCEEDED, second.error
    assert_restored(house, before)


async def test_only_what_changes_is_in_it(house: House) -> None:
    furnish(house)
    await house.back_up()
    (house.root / "data/vault/ca.key").write_bytes(b"other")
    job = await restored(house, services=["site"])
    assert [result.part.label for result in entry_of(house, job).parts] == ["vault", "site/pages"]


async def test_nothing_to_replace_makes_none(house: House) -> None:
    furnish(house)
    await house.back_up()
    archives = names_in(house.archives)
    job = await restored(house, services=[])
    assert job.state is JobState.SUCCEEDED, job.error
    assert "safety_backup_id" not in result_of(job)
    assert [step["state"] for step in result_of(job)["steps"] if step["stage"] == "safety"] == ["skipped"]
    assert names_in(house.archives) == archives


async def test_it_is_encrypted_where_the_restored_one_is(house: House) -> None:
    furnish(house)
    data_key = await lock_up(house)
    change(house)
    before = snapshot(house)
    job = await restored(house, data_key=data_key)
    assert job.state is JobState.SUCCEEDED, job.error
    entry = entry_of(house, job)
    assert entry.encrypted
    with LocalStore(house.archives).open(entry.backup_id) as file:
        key = read_envelope(file).open(PASSPHRASE)
        file.seek(0)
        verify(file, data_key=key)
    assert key != data_key
    second = await restored(house, entry.backup_id, data_key=key)
    assert second.state is JobState.SUCCEEDED, second.error
    assert_restored(house, before)


async def test_files_alone(house: House) -> None:
    saved, _ = await saved_and_changed(house)
    job = await restored(house, safety="files")
    assert job.state is JobState.SUCCEEDED, job.error
    assert [result.part.label for result in entry_of(house, job).parts] == [*COMPONENTS]
    assert_restored(house, saved)


async def test_none(house: House) -> None:
    saved, _ = await saved_and_changed(house)
    archives = names_in(house.archives)
    job = await restored(house, safety="none")
    assert job.state is JobState.SUCCEEDED, job.error
    assert names_in(house.archives) == archives
    assert "safety_backup_id" not in result_of(job)
    assert_restored(house, saved)


# --- where it cannot be made, nothing changes


async def assert_refused(house: House, before: Snapshot, code: Code) -> Job:
    archives = names_in(house.archives)
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, code)
    assert_same(house, before)
    assert names_in(house.archives) == archives, "what could not be made whole is no safety archive"
    assert [step["state"] for step in result_of(job)["steps"]] == ["succeeded", "succeeded", "failed"]
    assert not {"next", "safety_backup_id"} & result_of(job).keys()
    return job


async def test_an_unreadable_component(house: House) -> None:
    newer = house.root / "data/something/newer"
    furnish(house)
    with closed_doors_count():  # from the beginning: threads have the rights of who started them
        await house.back_up()
        write(newer, b"came later")
        before, archives = snapshot(house), names_in(house.archives)
        newer.chmod(0)
        job = await restored(house)
        newer.chmod(0o644)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.SAFETY_FAILED)
    assert "data/something/newer" in str(job.error)
    assert "safety_backup_id" not in result_of(job)
    assert_same(house, before)
    assert names_in(house.archives) == archives


@pytest.mark.parametrize("after", [0, 400, None])
async def test_a_disk_that_fails(house: House, after: int | None) -> None:
    _, before = await saved_and_changed(house)
    house.store = FailingStore(house.archives, after=after)
    await assert_refused(house, before, Code.SAFETY_FAILED)


async def test_a_full_disk(house: House) -> None:
    _, before = await saved_and_changed(house)
    house.store = FailingStore(house.archives, after=400, error=errno.ENOSPC)
    job = await assert_refused(house, before, Code.DISK_FULL)
    assert job.error is not None


async def test_a_volume_that_cannot_be_saved_is_not_touched(house: House) -> None:
    saved, changed = await saved_and_changed(house)
    mail = volume(house, "mail")
    mail.fault, mail.fault_at = PartError(Code.STREAM_CUT, "It broke."), 700
    job = await restored(house)
    assert job.state is JobState.PARTIAL, job.error
    failed = part(job, "mail/mailboxes")
    assert failed.error is not None
    assert failed.error.code == Code.STREAM_CUT
    assert mail.writings == []
    now = snapshot(house).volumes
    assert now["cell-mail", "/var/mail"] == changed.volumes["cell-mail", "/var/mail"]
    assert now["cell-site", "/srv"] == saved.volumes["cell-site", "/srv"]
    assert_restored(house, saved, volumes=False)


async def test_hooks_of_a_backup_are_not_run_for_it(house: House) -> None:
    furnish(house)
    house.add_mail(volume(house, "mail").tar, pre=["dump"], post=["clean"])
    await house.back_up()
    ran = len(house.memory_engine.ran)
    assert ran == 2
    assert (await restored(house)).state is JobState.SUCCEEDED
    assert len(house.memory_engine.ran) == ran


# --- removed by rule


def expire(house: House, backup_id: str) -> None:
    """Let an archive's time be over."""
    store = LocalStore(house.archives)
    entry = replace(store.get(backup_id), expires_at=datetime.now(UTC) - timedelta(seconds=1))
    write_sidecar(house.archives / f"{backup_id}.json", entry)


def ids(house: House) -> set[str]:
    return {entry.backup_id for entry in LocalStore(house.archives).entries()}


async def test_when_its_time_is_over_the_next_job_removes_it(house: House) -> None:
    await saved_and_changed(house)
    job = await restored(house)
    assert ids(house) == {BACKUP_ID, safety_of(job)}
    expire(house, safety_of(job))
    again = await restored(house, services=[])
    assert again.state is JobState.SUCCEEDED
    assert ids(house) == {BACKUP_ID}


async def test_before_that_it_stays(house: House) -> None:
    await saved_and_changed(house)
    job = await restored(house)
    await restored(house, dry_run=True)
    assert safety_of(job) in ids(house)


async def test_not_while_a_job_waits_for_it(house: House) -> None:
    await saved_and_changed(house)
    job = await restored(house)
    expire(house, safety_of(job))
    await queue_restore(house, safety_of(job))
    await remove_expired(house.tools)
    assert safety_of(job) in ids(house)


async def test_never_the_last_one_that_verified(house: House) -> None:
    await saved_and_changed(house)
    job = await restored(house)
    store = LocalStore(house.archives)
    store.record_verification(safety_of(job), Verification(datetime.now(UTC), ok=True))
    store.record_verification(BACKUP_ID, Verification(datetime.now(UTC), ok=False, code="archive_damaged"))
    expire(house, safety_of(job))
    await remove_expired(house.tools)
    assert safety_of(job) in ids(house)
    store.record_verification(BACKUP_ID, Verification(datetime.now(UTC), ok=True))
    await remove_expired(house.tools)
    assert ids(house) == {BACKUP_ID}
