"""A job that is ended from outside leaves nothing behind, wherever it is, and its record says why it ended."""

import asyncio
import os

import pytest

from app.engine.base import ContainerState
from app.errors import Code
from app.jobs.records import Job, JobState
from tests.faults.gates import AwayForEver, GatedStore
from tests.faults.house import JOB_ID, House, assert_failed, tar_of, write, writer_threads
from tests.faults.proof import prove

MAIL = tar_of({"ada/1": b"a" * 700, "ada/2": b"b" * 5000})
STAGES = ("plan", "components", "volumes", "close", "publish")
ENDS = ("cancel", "timeout", "lease", "shutdown")
CODES = {"timeout": Code.JOB_TIMEOUT, "lease": Code.WORKER_LOST, "shutdown": Code.WORKER_STOPPED}


def hold_in(house: House, stage: str) -> None:
    """Make a job stand still in a stage until it is told to end."""
    if stage == "plan":
        house.memory_engine = AwayForEver()
        return
    mail = house.add_mail(MAIL, quiesce="pause")
    if stage == "components":
        for number in range(20):  # more than all queues hold
            write(house.root / f"data/noise/{number}", os.urandom(1 << 20))
        house.store = GatedStore(house, "write")
    elif stage == "volumes":
        mail.hold, mail.fault_at = True, 1500
    elif stage == "close":
        house.store = GatedStore(house, "write")
    else:
        house.store = GatedStore(house, stage)


async def end_by(house: House, how: str, stage: str, *, limit: float = 0.5) -> Job:
    """Run the job that is held in a stage, and end it there; `limit` is how long it may run, in seconds."""
    if how == "timeout":
        house.configure(job_timeout=limit)
        return await house.back_up()
    await house.queue()
    running = asyncio.create_task(house.work())
    await house.seen_in(stage)
    if how == "cancel":
        await house.jobs.store.request_cancel(JOB_ID)
    elif how == "lease":
        await house.jobs.leases.lose(str(house.root))
    else:
        running.cancel()  # as arq does when its worker is told to end
    return await running


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ENDS)
async def test_ended(house: House, how: str, stage: str) -> None:
    hold_in(house, stage)
    job = await end_by(house, how, stage)
    if how == "cancel":
        await assert_failed(house, job, Code.CANCELLED, JobState.CANCELLED)
    else:
        await assert_failed(house, job, CODES[how])
    assert how == "timeout" or job.stage == stage
    if stage != "plan":
        assert house.machines["cell-mail"].state is ContainerState.RUNNING
        assert house.memory_engine.machines["cell-mail"].state is ContainerState.RUNNING


@pytest.mark.parametrize("how", ENDS)
async def test_what_is_published_stays_and_is_recorded(house: House, how: str) -> None:
    house.store = GatedStore(house, "published")
    job = await end_by(house, how, "publish", limit=8)
    assert job.state is JobState.SUCCEEDED
    assert job.error is None
    assert job.result is not None
    assert job.progress.percent == 100
    prove(house)


async def test_cancelled_twice_waits_for_the_step_that_runs(house: House) -> None:
    hold_in(house, "volumes")
    await house.queue()
    running = asyncio.create_task(house.work())
    await house.seen_in("volumes")
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    await assert_failed(house, await running, Code.WORKER_STOPPED)


async def test_cancelled_while_encrypted_leaves_no_secret(house: House) -> None:
    hold_in(house, "volumes")
    await house.jobs.secrets.seal(JOB_ID, b"never used")
    job = await end_by(house, "cancel", "volumes")
    await assert_failed(house, job, Code.CANCELLED, JobState.CANCELLED)
    assert house.jobs.secrets._secrets == {}
    assert writer_threads() == set()
