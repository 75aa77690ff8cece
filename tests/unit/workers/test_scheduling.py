"""Jobs that are made by themselves: once for each time, by whichever worker looks, and never in silence."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.archive.envelope import parse_envelope
from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.errors import Code, UnavailableError
from app.jobs.records import Job, JobKind, JobState
from app.scheduling.schedule_file import ScheduleFile
from app.scheduling.schedules import LastResult, Outcome, Overlap, Schedule, ScheduleKind
from tests.faults.house import House
from tests.support.waiting import eventually_async
from tests.unit.workers.nights import DAY, FIRST, NOON, Night, passphrase_in
from workers.backup import backup
from workers.running import run_job
from workers.scheduling import scheduling


async def test_a_job_is_made_when_its_time_has_come_and_once(night: Night) -> None:
    night.plan(components=("vault", "web"), services=(), label="of the night")
    await night.look(FIRST - timedelta(seconds=1))
    assert await night.jobs() == []
    for seconds in range(3):
        await night.look(FIRST + timedelta(seconds=seconds))
    (job,) = await night.jobs()
    assert (job.kind, job.state, job.asked_by) == (JobKind.BACKUP, JobState.QUEUED, "schedule nightly")
    assert job.request == {
        "schedule": "nightly",
        "components": ["vault", "web"],
        "services": [],
        "label": "of the night",
    }
    assert await night.tools.jobs.queue.known() == {job.job_id}
    assert night.last() == LastResult(FIRST, Outcome.STARTED, FIRST, job_id=job.job_id)


async def test_of_several_workers_one_makes_the_job(night: Night, tmp_path: Path) -> None:
    night.plan(passphrase_file=passphrase_in(tmp_path))
    night.now = FIRST
    await asyncio.gather(*(night.worker(number).look() for number in range(4)))
    (job,) = await night.jobs()
    assert night.last().job_id == job.job_id
    assert await night.tools.jobs.secrets.open(job.job_id)


async def test_a_worker_that_died_before_it_noted_the_job_makes_no_second_one(night: Night) -> None:
    night.plan()
    await night.look(FIRST)
    night.file.note("nightly", since=NOON)  # as it stood before
    await night.look(FIRST + timedelta(seconds=30), worker=1)
    (job,) = await night.jobs()
    assert (night.last().outcome, night.last().job_id) == (Outcome.STARTED, job.job_id)
    assert night.file.get("nightly").since == FIRST


async def test_after_the_machine_was_off_one_job_makes_up_for_all(night: Night) -> None:
    night.plan()
    await night.look(FIRST + 4 * DAY + timedelta(hours=9))
    assert len(await night.jobs()) == 1
    assert (night.last().fire_time, night.last().missed) == (FIRST + 4 * DAY, 4)


async def test_without_catching_up_what_was_missed_is_said(night: Night) -> None:
    night.plan(catch_up=False)
    await night.look(FIRST + 4 * DAY + timedelta(hours=9))
    assert await night.jobs() == []
    assert (night.last().outcome, night.last().missed) == (Outcome.MISSED, 4)
    await night.look(FIRST + 5 * DAY)
    assert night.last().outcome is Outcome.STARTED


async def test_a_time_that_comes_while_the_last_job_waits_or_runs_is_skipped(night: Night) -> None:
    night.plan()
    await night.look(FIRST)
    (job,) = await night.jobs()
    await night.look(FIRST + DAY)
    assert await night.jobs() == [job]
    assert (night.last().outcome, night.last().job_id) == (Outcome.SKIPPED, job.job_id)
    await night.end(job)
    await night.look(FIRST + 2 * DAY)
    assert len(await night.jobs()) == 2
    assert night.last().outcome is Outcome.STARTED


async def test_or_it_waits_behind_that_job(night: Night) -> None:
    night.plan(overlap=Overlap.QUEUE)
    for day in range(3):
        await night.look(FIRST + day * DAY)
    assert len(await night.jobs()) == 3


async def test_the_jobs_of_others_are_in_nobodys_way(night: Night) -> None:
    night.plan()
    night.plan(name="other")
    await night.look(FIRST)
    assert {job.request["schedule"] for job in await night.jobs()} == {"nightly", "other"}


async def test_a_passphrase_is_read_when_the_time_comes_and_is_nowhere_afterwards(night: Night, tmp_path: Path) -> None:
    night.plan(passphrase_file=passphrase_in(tmp_path))
    await night.look(FIRST)
    (job,) = await night.jobs()
    data_key = await night.tools.jobs.secrets.open(job.job_id)
    assert parse_envelope(job.request["envelope"]).open("correct horse battery") == data_key
    assert "correct horse" not in repr(job)
    assert "correct horse" not in (night.tools.settings.state_dir / "schedules.json").read_text()


async def test_where_the_passphrase_cannot_be_read_a_failed_job_says_so_and_nothing_plain_is_made(
    night: Night, tmp_path: Path
) -> None:
    path = passphrase_in(tmp_path)
    path.chmod(0o644)
    night.plan(passphrase_file=path)
    await night.look(FIRST)
    (job,) = await night.jobs()
    assert (job.state, job.kind) == (JobState.FAILED, JobKind.BACKUP)
    assert job.error is not None
    assert job.error.code == Code.PASSPHRASE_REQUIRED
    assert (night.last().outcome, night.last().code) == (Outcome.REFUSED, Code.PASSPHRASE_REQUIRED)
    assert night.last().job_id == job.job_id
    assert await night.tools.jobs.queue.known() == set()
    assert [told.job_id for told in await night.tools.jobs.store.untold()] == [job.job_id]
    await night.look(FIRST + timedelta(seconds=5))
    assert len(await night.jobs()) == 1


async def test_a_refused_job_whose_worker_died_at_once_fails_and_makes_nothing_plain(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(house.tools)
    night.plan(passphrase_file=tmp_path / "missing")

    async def die(_: Job) -> None:
        raise UnavailableError(Code.REDIS_UNAVAILABLE, "Away.")

    with monkeypatch.context() as patched:
        patched.setattr(house.jobs.store, "update", die)
        with pytest.raises(UnavailableError):
            await night.look(FIRST)
    (job,) = await night.jobs()
    assert job.state is JobState.QUEUED
    await run_job(house.tools, job.job_id, backup)
    (job,) = await night.jobs()
    assert job.state is JobState.FAILED
    assert LocalStore(house.archives).entries() == []


async def test_redis_away_puts_a_time_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(house.tools)
    night.plan()

    async def away(*_: object, **__: object) -> Job:
        raise UnavailableError(Code.REDIS_UNAVAILABLE, "Away.")

    with monkeypatch.context() as patched:
        patched.setattr(house.jobs.store, "create", away)
        with pytest.raises(UnavailableError):
            await night.look(FIRST)
    assert night.file.get("nightly").last is None
    await night.look(FIRST + timedelta(minutes=1))
    assert len(await night.jobs()) == 1
    assert night.last().outcome is Outcome.STARTED


async def test_a_full_queue_puts_a_time_off_and_leaves_no_secret(house: House, tmp_path: Path) -> None:
    house.configure(max_queued_jobs=1, scrypt_n=2**10)
    night = Night(house.tools)
    night.plan(passphrase_file=passphrase_in(tmp_path))
    waiting = await house.queue()
    await night.look(FIRST)
    assert (night.last().outcome, night.last().code) == (Outcome.REFUSED, Code.QUEUE_FULL)
    assert house.jobs.secrets._secrets == {}
    await night.end(waiting)
    await night.look(FIRST + timedelta(minutes=1))
    assert night.last().outcome is Outcome.STARTED


async def test_a_schedule_that_cannot_be_looked_at_keeps_no_other_from_its_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(house.tools)
    night.plan(name="broken", kind=ScheduleKind.VERIFY)
    night.plan()

    def fail(_: object) -> list[Entry]:
        raise ZeroDivisionError

    monkeypatch.setattr(LocalStore, "entries", fail)
    await night.look(FIRST)
    assert [job.request["schedule"] for job in await night.jobs()] == ["nightly"]


async def test_a_clock_that_was_years_ahead_and_is_put_right_stops_nothing(house: House) -> None:
    night = Night(house.tools)
    night.plan()
    await night.look(FIRST + 4000 * DAY)
    (job,) = await night.jobs()
    await night.end(job)
    await night.look(NOON)
    await night.look(FIRST)
    assert len(await night.jobs()) == 2


async def test_a_broken_file_stops_nothing_but_schedules_and_is_said(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.settings.state_dir.mkdir(mode=0o700, exist_ok=True)
    (house.settings.state_dir / "schedules.json").write_text("{")

    async def said() -> bool:
        return "schedules.json" in caplog.text

    async with scheduling(house.tools):
        await eventually_async(said, what="the trouble is in the log")
    assert (house.settings.state_dir / "schedules.json").read_text() == "{"


async def test_a_worker_looks_by_itself_from_its_start(house: House) -> None:
    house.configure(schedule="* * * * *")
    file = ScheduleFile(house.settings)
    file.add(Schedule("overdue", "* * * * *"), datetime.now(UTC) - timedelta(minutes=3))

    async def made() -> bool:
        return bool(await house.jobs.store.active())

    async with scheduling(house.tools):
        await eventually_async(made, what="a job was made")
    assert {kept.schedule.name for kept in file.read()} == {"overdue", "default"}
