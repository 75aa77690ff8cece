"""The prune job: it removes what retention does not keep, and tells where it may not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from typing_extensions import override

from app.catalog.base import Entry, Store, Verification
from app.catalog.local import LocalStore
from app.catalog.retention import Policy
from app.errors import Code
from app.jobs.records import Job, JobKind, JobState
from app.retention.policy_file import RetentionFile
from tests.faults.house import JOB_ID, House
from tests.unit.workers.tellers import Teller
from workers.backup import backup
from workers.prune import prune

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
OTHER_JOB = "2" * 32


def put(store: Store, name: str, *, days: int, size: int = 100, outcome: str = "succeeded") -> Entry:
    entry = Entry(name, "", encrypted=False, size=0, created_at=NOW - timedelta(days=days), outcome=outcome)
    with store.create(name, encrypted=False) as archive:
        archive.write(bytes(size))
        return archive.publish(entry)


@pytest.fixture
def store(house: House) -> LocalStore:
    store = LocalStore(house.archives)
    for days in range(5):
        put(store, f"night-{days}", days=days)
    RetentionFile(house.settings).write(Policy(keep_last=2))
    return store


def names(store: Store) -> list[str]:
    return [entry.backup_id for entry in store.entries()]


async def queue(house: House, request: dict[str, object], *, kind: JobKind = JobKind.PRUNE) -> None:
    job = Job(JOB_ID, kind, JobState.QUEUED, datetime.now(UTC), "", request)
    await house.jobs.store.create(job, max_queued=10)


async def pruned(house: House, **request: object) -> Job:
    await queue(house, request)
    return await house.work(prune)


async def test_what_no_rule_keeps_is_removed_and_told(house: House, store: LocalStore) -> None:
    job = await pruned(house)
    assert (job.state, job.error, job.warnings) == (JobState.SUCCEEDED, None, ())
    assert names(store) == ["night-0", "night-1"]
    assert job.result is not None
    assert job.result["removed"] == ["night-4", "night-3", "night-2"]
    assert (job.result["freed"], job.result["to_remove"], job.result["to_keep"]) == (300, 3, 2)
    assert job.result["policy"]["keep_last"] == 2


async def test_without_a_policy_nothing_is_removed(house: House, store: LocalStore) -> None:
    RetentionFile(house.settings).forget()
    assert (await pruned(house)).state is JobState.SUCCEEDED
    assert len(names(store)) == 5


async def test_the_policy_of_the_settings_holds_where_none_was_set(house: House, store: LocalStore) -> None:
    RetentionFile(house.settings).forget()
    house.configure(keep_daily=1)
    assert (await pruned(house)).state is JobState.SUCCEEDED
    assert names(store) == ["night-0"]


async def test_a_backup_that_shrank_keeps_everything_and_somebody_is_told(house: House, store: LocalStore) -> None:
    put(store, "tonight", days=-1, size=10)
    job = await pruned(house)
    assert job.state is JobState.PARTIAL
    assert job.error is not None
    assert job.error.code == Code.RETENTION_HELD
    assert "tonight" in job.error.message
    assert len(names(store)) == 6
    assert len(job.warnings) == 1


async def test_who_saw_it_and_says_so_prunes_all_the_same(house: House, store: LocalStore) -> None:
    put(store, "tonight", days=-1, size=10)
    assert (await pruned(house, despite_anomaly=True)).state is JobState.SUCCEEDED
    assert names(store) == ["tonight", "night-0"]


async def test_an_anomaly_that_keeps_nothing_from_going_is_no_news(house: House, store: LocalStore) -> None:
    put(store, "tonight", days=-1, size=10)
    RetentionFile(house.settings).write(Policy(keep_last=20))
    assert (await pruned(house)).state is JobState.SUCCEEDED


async def test_a_backup_that_failed_since_keeps_everything(house: House, store: LocalStore) -> None:
    failed = Job(OTHER_JOB, JobKind.BACKUP, JobState.QUEUED, NOW, "never-made")
    await house.jobs.store.create(failed, max_queued=10)
    await house.jobs.store.update(replace(failed, state=JobState.FAILED, finished_at=NOW + timedelta(minutes=5)))
    job = await pruned(house)
    assert (job.state, len(names(store))) == (JobState.PARTIAL, 5)


async def test_what_another_job_waits_for_and_what_verified_last_stay(house: House, store: LocalStore) -> None:
    store.record_verification("night-4", Verification(NOW, ok=True))
    waiting = Job(OTHER_JOB, JobKind.VERIFY, JobState.QUEUED, NOW, "night-3")
    await house.jobs.store.create(waiting, max_queued=10)
    assert (await pruned(house)).state is JobState.SUCCEEDED
    assert names(store) == ["night-0", "night-1", "night-3", "night-4"]


class Meddling(LocalStore):
    """Remove an archive just before the job does, as somebody else might."""

    @override
    def remove(self, backup_id: str) -> None:
        if backup_id == "night-3":
            super().remove(backup_id)
        super().remove(backup_id)


async def test_what_somebody_else_removed_meanwhile_is_no_failure(house: House, store: LocalStore) -> None:
    house.store = Meddling(house.archives)
    job = await pruned(house)
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None
    assert job.result["removed"] == ["night-4", "night-2"]
    assert len(job.warnings) == 1
    assert names(store) == ["night-0", "night-1"]


async def test_what_a_job_wants_by_now_stays(house: House, store: LocalStore) -> None:
    class Waking(LocalStore):
        @override
        def remove(self, backup_id: str) -> None:
            super().remove(backup_id)
            job = Job(OTHER_JOB, JobKind.VERIFY, JobState.QUEUED, NOW, "night-2")
            house.jobs.store._jobs[OTHER_JOB] = job

    house.store = Waking(house.archives)
    job = await pruned(house)
    assert (job.state, len(job.warnings)) == (JobState.SUCCEEDED, 1)
    assert names(store) == ["night-0", "night-1", "night-2"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"keep_last": -1}', b'{"keep_last": 0}', b'{"timezone": "No/Where"}'])
async def test_a_policy_that_cannot_be_read_removes_nothing(house: House, store: LocalStore, content: bytes) -> None:
    path = house.settings.state_dir / "retention.json"
    path.write_bytes(content)
    job = await pruned(house)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == Code.INVALID_SETTING
    assert len(names(store)) == 5


async def test_a_cancelled_prune_removes_nothing_more(house: House, store: LocalStore) -> None:
    class Cancelling(LocalStore):
        @override
        def entries(self) -> list[Entry]:
            found = super().entries()
            record = house.jobs.store._jobs[JOB_ID]
            house.jobs.store._jobs[JOB_ID] = replace(record, cancel_requested=True)
            return found

    house.store = Cancelling(house.archives)
    assert (await pruned(house)).state is JobState.CANCELLED
    assert len(names(store)) == 5


async def test_the_end_is_told_with_its_code(teller: Teller) -> None:
    await teller.end(state=JobState.PARTIAL, kind=JobKind.PRUNE)
    await teller.aftermath.tell()
    assert [(entry.what, entry.outcome) for entry in teller.audit()] == [("prune", "partial")]


@pytest.mark.parametrize(
    ("request_", "choice"),
    [
        ({}, ()),
        ({"components": ["vault", "web"], "services": []}, ("component:vault", "component:web")),
        ({"components": ["vault"]}, ("component:vault", "service:*")),
    ],
)
async def test_a_backup_remembers_what_was_chosen_for_it(
    house: House, request_: dict[str, object], choice: tuple[str, ...]
) -> None:
    await queue(house, request_, kind=JobKind.BACKUP)
    record = house.jobs.store._jobs[JOB_ID]
    house.jobs.store._jobs[JOB_ID] = replace(record, backup_id="made-here")
    assert (await house.work(backup)).state in {JobState.SUCCEEDED, JobState.PARTIAL}
    assert LocalStore(house.archives).get("made-here").choice == choice
