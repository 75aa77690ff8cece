"""What schedules make beside backups: verifications, and retention after a backup that succeeded."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.catalog.retention import Policy
from app.errors import Code, JobError
from app.jobs.records import JobKind, JobState
from app.retention.policy_file import RetentionFile
from app.scheduling.schedules import ScheduleKind
from tests.faults.house import House
from tests.unit.workers.nights import DAY, FIRST, NOON, Night


class TestVerify:
    def put(self, night: Night, name: str, **fields: Any) -> None:
        entry = Entry(name, "", encrypted=False, size=0, created_at=NOON, outcome="succeeded")
        entry = replace(entry, **fields)
        with night.tools.store.create(name, encrypted=entry.encrypted) as archive:
            archive.write(b"x")
            archive.publish(entry)

    async def test_the_newest_backup_is_verified_and_no_safety_archive(self, night: Night) -> None:
        night.plan(kind=ScheduleKind.VERIFY)
        self.put(night, "older", created_at=NOON - DAY)
        self.put(night, "newest")
        self.put(night, "safety", created_at=NOON + DAY, expires_at=NOON + 3 * DAY)
        await night.look(FIRST)
        (job,) = await night.jobs()
        assert (job.kind, job.backup_id, job.request) == (JobKind.VERIFY, "newest", {"schedule": "nightly"})

    async def test_where_there_is_none_a_failed_job_says_so(self, night: Night) -> None:
        night.plan(kind=ScheduleKind.VERIFY)
        await night.look(FIRST)
        (job,) = await night.jobs()
        assert (job.kind, job.state) == (JobKind.VERIFY, JobState.FAILED)
        assert night.last().code == Code.BACKUP_NOT_FOUND

    async def test_an_encrypted_one_wants_a_passphrase(self, night: Night) -> None:
        night.plan(kind=ScheduleKind.VERIFY)
        self.put(night, "newest", encrypted=True)
        await night.look(FIRST)
        assert night.last().code == Code.PASSPHRASE_REQUIRED

    async def test_what_cannot_be_listed_is_told(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        night = Night(house.tools)
        night.plan(kind=ScheduleKind.VERIFY)

        def fail(_: object) -> list[Entry]:
            raise JobError(Code.FILE_UNREADABLE, "It cannot be read.")

        monkeypatch.setattr(LocalStore, "entries", fail)
        await night.look(FIRST)
        assert night.last().code == Code.FILE_UNREADABLE


class TestRetentionAfterwards:
    async def after(self, night: Night, state: JobState) -> list[JobKind]:
        night.plan()
        await night.look(FIRST)
        (job,) = await night.jobs()
        await night.look(FIRST + timedelta(minutes=1))
        assert len(await night.jobs()) == 1  # not before it has ended
        await night.end(job, state)
        for minute in range(2, 5):
            await night.look(FIRST + timedelta(minutes=minute), worker=minute)
        return [made.kind for made in await night.jobs()]

    async def test_retention_is_applied_once_after_a_backup_that_succeeded(self, night: Night) -> None:
        RetentionFile(night.tools.settings).write(Policy(keep_last=3))
        assert await self.after(night, JobState.SUCCEEDED) == [JobKind.BACKUP, JobKind.PRUNE]
        prune = (await night.jobs())[1]
        assert (prune.backup_id, prune.asked_by) == ("", "schedule nightly")
        assert prune.job_id in await night.tools.jobs.queue.known()

    @pytest.mark.parametrize("state", [JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED])
    async def test_but_after_no_other_end(self, night: Night, state: JobState) -> None:
        RetentionFile(night.tools.settings).write(Policy(keep_last=3))
        assert await self.after(night, state) == [JobKind.BACKUP]

    async def test_and_not_without_a_policy(self, night: Night) -> None:
        assert await self.after(night, JobState.SUCCEEDED) == [JobKind.BACKUP]

    async def test_a_policy_that_cannot_be_read_is_told_by_the_job(self, night: Night) -> None:
        (night.tools.settings.state_dir / "retention.json").parent.mkdir(mode=0o700, exist_ok=True)
        (night.tools.settings.state_dir / "retention.json").write_text("{")
        assert await self.after(night, JobState.SUCCEEDED) == [JobKind.BACKUP, JobKind.PRUNE]

    async def test_a_backup_that_outlasts_the_next_time_is_followed_by_it_too(self, night: Night) -> None:
        RetentionFile(night.tools.settings).write(Policy(keep_last=3))
        night.plan()
        await night.look(FIRST)
        (job,) = await night.jobs()
        await night.look(FIRST + DAY)
        await night.end(job)
        await night.look(FIRST + DAY + timedelta(minutes=1))
        assert [made.kind for made in await night.jobs()] == [JobKind.BACKUP, JobKind.PRUNE]
