"""What a dead worker left behind is put right before the next one takes a job."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.catalog.local import LocalStore
from app.engine.base import ContainerState
from app.engine.journal import quiesced
from app.engine.memory import MemoryContainer
from app.errors import Code, JobError, PartError
from app.jobs.records import JobState
from app.jobs.rooms import MemoryJobs
from tests.faults.house import BACKUP_ID, JOB_ID, House, assert_failed, assert_nothing_left, names_in, tar_of
from workers.maintenance import end_left, recover_cell

MAIL = tar_of({"ada/1": b"a" * 700})
RUNNING = PartResult(Part(PartKind.COMPONENT, "vault"), PartOutcome.RUNNING)
PENDING = PartResult(Part(PartKind.COMPONENT, "web"), PartOutcome.PENDING)
OTHER_ID = "00000000000000000000000000000002"


async def die(house: House) -> AsyncExitStack:
    """Bring everything into the state of a worker that was killed in the middle of a volume.

    Closing the stack lets go of what a dead process would have lost; it undoes nothing.
    """
    house.add_mail(MAIL)
    await begin_and_die(house, stage="volumes", components=(RUNNING, PENDING))
    await house.jobs.secrets.seal(JOB_ID, b"a data key")
    held = AsyncExitStack()
    archive = held.enter_context(LocalStore(house.archives).create(BACKUP_ID, encrypted=True))
    archive.write(b"half of an archive")
    await held.enter_async_context(quiesced(house.memory_engine, house.journal, "cell-mail", "pause"))
    assert house.machines["cell-mail"].state is ContainerState.PAUSED
    assert len(names_in(house.archives)) == 1
    return held


async def begin_and_die(house: House, **record: Any) -> None:
    """Leave the record of a job whose worker was killed, and whose lease ran out."""
    queued = await house.queue()
    async with house.jobs.leases.hold(str(house.root), JOB_ID, on_lost=lambda: None) as lease:
        running = replace(queued, state=JobState.RUNNING, started_at=datetime.now(UTC), fence=lease.fence, **record)
        await house.jobs.store.update(running)


async def test_everything_is_put_right(house: House) -> None:
    held = await die(house)
    await recover_cell(house.tools)
    await assert_failed(house, await house.record(), Code.WORKER_LOST)
    assert house.machines["cell-mail"].state is ContainerState.RUNNING
    assert house.jobs.secrets._secrets == {}
    await held.aclose()
    assert_nothing_left(house)


async def test_recovery_is_done_twice_as_well_as_once(house: House) -> None:
    held = await die(house)
    await recover_cell(house.tools)
    before = await house.record()
    await recover_cell(house.tools)
    assert await house.record() == before
    await held.aclose()


async def test_jobs_that_wait_or_have_ended_are_left_alone(house: House) -> None:
    waiting = await house.queue()
    await house.jobs.secrets.seal(JOB_ID, b"a data key")
    ended = replace(waiting, job_id=OTHER_ID)
    await house.jobs.store.create(ended, max_queued=5)
    ended = replace(ended, state=JobState.SUCCEEDED)
    await house.jobs.store.update(ended)
    await recover_cell(house.tools)
    assert await house.record() == waiting
    assert await house.jobs.store.get(OTHER_ID) == ended
    assert await house.jobs.secrets.open(JOB_ID) == b"a data key"


async def test_published_archives_are_left_alone(house: House) -> None:
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    before = names_in(house.archives)
    await recover_cell(house.tools)
    assert names_in(house.archives) == before


@pytest.mark.parametrize("outcome", ["succeeded", "partial"])
async def test_a_backup_that_was_published_before_its_worker_died_has_succeeded(house: House, outcome: str) -> None:
    done = await house.back_up()
    store = LocalStore(house.archives)
    house.jobs = MemoryJobs()
    sidecar = house.archives / f"{BACKUP_ID}.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "outcome": outcome}))
    await begin_and_die(house, stage="publish", components=(RUNNING,))
    await recover_cell(house.tools)
    job = await house.record()
    assert (job.state, job.error, job.progress.percent) == (JobState(outcome), None, 100)
    assert job.result == done.result
    assert job.components == done.components
    assert job.finished_at is not None
    assert "worker died" in job.warnings[-1]
    assert store.get(BACKUP_ID).described


async def test_an_archive_without_a_description_is_no_proof_of_success(house: House) -> None:
    await house.back_up()
    house.jobs = MemoryJobs()
    (house.archives / f"{BACKUP_ID}.json").unlink()
    await begin_and_die(house, stage="publish")
    await recover_cell(house.tools)
    job = await house.record()
    assert job.error is not None
    assert job.error.code == Code.WORKER_LOST


async def test_a_job_that_runs_under_this_very_lease_is_not_ended(house: House) -> None:
    queued = await house.queue()
    async with house.jobs.leases.hold(str(house.root), JOB_ID, on_lost=lambda: None) as lease:
        await house.jobs.store.update(replace(queued, state=JobState.RUNNING, fence=lease.fence))
        await end_left(house.tools, lease, None)
        assert (await house.record()).state is JobState.RUNNING


async def test_a_recovery_that_loses_the_lease_stops(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await begin_and_die(house)
    waiting = asyncio.Event()

    async def wait(_: object) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("workers.maintenance.sweep", wait)
    recovering = asyncio.create_task(recover_cell(house.tools))
    await waiting.wait()
    await house.jobs.leases.lose(str(house.root))
    with pytest.raises(JobError) as caught:
        await recovering
    assert caught.value.code is Code.WORKER_LOST
    assert (await house.record()).state is JobState.RUNNING


async def test_a_live_worker_is_not_disturbed(house: House) -> None:
    held = await die(house)
    leases = house.jobs.leases
    async with leases.hold(str(house.root), JOB_ID, on_lost=lambda: None):
        recovering = asyncio.create_task(recover_cell(house.tools))
        await asyncio.sleep(0.1)
        assert (await house.record()).state is JobState.RUNNING
        assert house.machines["cell-mail"].state is ContainerState.PAUSED
    await recovering
    assert (await house.record()).state is JobState.FAILED
    await held.aclose()


async def test_container_that_cannot_run_again_yet_does_not_keep_the_worker_from_starting(house: House) -> None:
    held = await die(house)
    house.memory_engine.faults["unpause"] = PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")
    await recover_cell(house.tools)
    job = await house.record()
    assert job.error is not None
    assert job.error.code == Code.WORKER_LOST
    assert [path.stem for path in house.journal.glob("*.json")] == ["cell-mail"]
    house.memory_engine.faults.clear()
    await recover_cell(house.tools)
    assert house.machines["cell-mail"].state is ContainerState.RUNNING
    await held.aclose()
    assert_nothing_left(house)


async def test_container_that_was_removed_meanwhile_is_forgotten(house: House) -> None:
    held = await die(house)
    house.machines["cell-mail"] = MemoryContainer()
    del house.machines["cell-mail"]
    await recover_cell(house.tools)
    assert list(house.journal.glob("*")) == []
    await held.aclose()
