"""What the records of real jobs say of their progress, looked at as often as can be."""

from itertools import pairwise
from typing import Any

import pytest

from app.jobs.records import Job, JobState
from tests.faults.house import JOB_ID, House
from tests.faults.restoring import furnish, restored, saved_and_changed
from workers import running
from workers.verify import verify_archive


@pytest.fixture
def told(house: House, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Give every record that is written, in the order of writing."""
    written: list[Job] = []
    update = house.jobs.store.update

    async def noted(job: Job) -> None:
        written.append(job)
        await update(job)

    monkeypatch.setattr(house.jobs.store, "update", noted)
    monkeypatch.setattr(running, "_REPORT_INTERVAL", 0.001)
    return written


def of(told: list[Job], job: Job) -> list[Job]:
    return [record for record in told if record.job_id == job.job_id]


def assert_trustworthy(records: list[Job]) -> None:
    *before, last = records
    assert len(before) > 3
    for earlier, later in pairwise(records):
        assert earlier.progress.percent <= later.progress.percent
        assert earlier.progress.bytes_done <= later.progress.bytes_done
        assert earlier.progress.files_done <= later.progress.files_done
    for record in before:
        at = record.progress
        assert at.percent < 100
        assert at.bytes_total is None or at.bytes_done <= at.bytes_total
        assert at.current or record.stage is None
        assert at.bytes_total is not None or at.estimated
    assert (last.progress.current, last.progress.rate, last.progress.eta_seconds) == (None, None, None)


async def test_a_backup(house: House, told: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_REPORT_INTERVAL", 0)  # a volume is read in moments
    furnish(house)
    job = await house.back_up()
    assert_trustworthy(of(told, job))
    progress = job.progress
    assert (progress.percent, progress.estimated) == (100, False)
    assert progress.bytes_done == progress.bytes_total
    assert "mail/mailboxes" in {record.progress.current for record in told}


@pytest.mark.parametrize("request_", [{}, {"safety": "none"}, {"dry_run": True}, {"safety": "files"}])
async def test_a_restore(house: House, told: list[Job], request_: dict[str, Any]) -> None:
    await saved_and_changed(house)
    job = await restored(house, **request_)
    assert job.state is JobState.SUCCEEDED, job.error
    assert_trustworthy(of(told, job))
    assert (job.progress.percent, job.progress.bytes_done) == (100, job.progress.bytes_total)


async def test_a_verification_knows_the_total_and_where_it_is(house: House, told: list[Job]) -> None:
    furnish(house)
    await house.back_up()
    del house.jobs.store._jobs[JOB_ID]
    told.clear()
    await house.queue()
    job = await house.work(verify_archive)
    assert job.state is JobState.SUCCEEDED, job.error
    assert_trustworthy(told)
    sure = {record.progress.bytes_total for record in told if not record.progress.estimated}
    assert sure == {job.progress.bytes_done}
    assert not [record for record in told if record.progress.estimated and record.progress.bytes_total is not None]


async def test_a_job_that_fails_never_said_that_it_was_done(house: House, told: list[Job]) -> None:
    furnish(house)
    house.configure(job_timeout=1e-9)
    job = await house.back_up()
    assert job.state is JobState.FAILED
    assert max(record.progress.percent for record in told) < 100
    assert (job.progress.current, job.progress.rate, job.progress.eta_seconds) == (None, None, None)
