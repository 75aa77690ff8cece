"""Hooks and containers that are held still: whatever happens in between, `post` runs and they run again."""

import asyncio
import json
from pathlib import Path

import pytest

from app.archive.parts import PartOutcome
from app.engine.base import CommandResult, ContainerState
from app.errors import Code, PartError
from app.jobs.records import Job, JobState
from tests.faults.disks import FailingStore
from tests.faults.house import JOB_ID, House, add_service, assert_failed, part, tar_of
from tests.faults.proof import prove
from tests.faults.test_engine import using
from tests.support.fake_engine import FakeEngine

MAIL = tar_of({"ada/1": b"a" * 700, "ada/2": b"b" * 5000})
HELD = {"pause": ContainerState.PAUSED, "stop": ContainerState.STOPPED}
REFUSED = PartError(Code.ENGINE_ERROR, "The engine answered 500.")


def failed_code(job: Job) -> str:
    error = part(job, "mail/mailboxes").error
    assert error is not None
    assert error.message
    assert error.hint
    return error.code


async def test_hooks_run_around_the_read(house: House) -> None:
    house.add_mail(MAIL, pre=["flush"], post=["resume"], quiesce="pause")
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    about_mail = [method for method, container in house.memory_engine.calls if container == "cell-mail"]
    assert about_mail == ["run", "inspect", "pause", "read_volume", "unpause", "run"]


async def test_pre_that_fails_fails_the_volume_and_post_still_runs(house: House) -> None:
    house.add_mail(MAIL, pre=["flush"], post=["resume"])
    house.machines["cell-mail"].commands["flush"] = CommandResult(3, "database is locked\n")
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    failed = part(job, "mail/mailboxes")
    assert failed.outcome is PartOutcome.FAILED
    assert failed.exit_code == 3
    assert failed_code(job) == Code.HOOK_FAILED
    assert failed.error is not None
    assert "database is locked" in failed.error.message
    assert house.memory_engine.calls[-1] == ("run", "cell-mail")
    assert ("read_volume", "cell-mail") not in house.memory_engine.calls
    assert prove(house).part("mail/mailboxes").files == 0


async def test_post_that_fails_leaves_the_volume_saved_and_the_outcome_partial(house: House) -> None:
    house.add_mail(MAIL, post=["resume"])
    house.machines["cell-mail"].commands["resume"] = CommandResult(1, "")
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    assert part(job, "mail/mailboxes").outcome is PartOutcome.SUCCEEDED
    assert failed_code(job) == Code.HOOK_FAILED
    assert prove(house).contents["services/mail/mailboxes/ada/1"] == b"a" * 700


async def test_post_that_fails_after_a_failure_is_a_warning(house: House) -> None:
    volume = house.add_mail(MAIL, post=["resume"])
    volume.end = PartError(Code.TAR_FAILED, "tar exited with 2.", exit_code=2)
    house.machines["cell-mail"].commands["resume"] = CommandResult(1, "no")
    job = await house.back_up()
    assert failed_code(job) == Code.TAR_FAILED
    assert any("post" in warning for warning in part(job, "mail/mailboxes").warnings)
    prove(house)


async def test_hook_that_runs_too_long(house: House) -> None:
    house.add_mail(MAIL, pre=["flush"])
    late = PartError(Code.HOOK_TIMEOUT, "'flush' ran longer than 5 seconds.")
    house.machines["cell-mail"].commands["flush"] = late
    job = await house.back_up()
    assert failed_code(job) == Code.HOOK_TIMEOUT
    prove(house)


@pytest.mark.parametrize("quiesce", ["pause", "stop"])
async def test_held_container_runs_again_after_success(house: House, quiesce: str) -> None:
    house.add_mail(MAIL, quiesce=quiesce)
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    assert part(job, "mail/mailboxes").way == "archive"  # as the engine reads what does not run
    assert_runs_again(house)
    prove(house)


def assert_runs_again(house: House) -> None:
    assert house.machines["cell-mail"].state is ContainerState.RUNNING
    assert list(house.journal.glob("*")) == []


@pytest.mark.parametrize("quiesce", ["pause", "stop"])
async def test_held_container_runs_again_after_a_stream_error(house: House, quiesce: str) -> None:
    volume = house.add_mail(MAIL, quiesce=quiesce)
    volume.fault, volume.fault_at = PartError(Code.STREAM_CUT, "It was cut."), 3000
    job = await house.back_up()
    assert failed_code(job) == Code.STREAM_CUT
    assert_runs_again(house)


@pytest.mark.parametrize("quiesce", ["pause", "stop"])
async def test_held_container_runs_again_after_a_write_error(house: House, quiesce: str) -> None:
    house.add_mail(tar_of({str(number): bytes(1 << 20) for number in range(16)}), quiesce=quiesce, post=["resume"])
    house.store = FailingStore(house.archives, after=0)
    await assert_failed(house, await house.back_up(), Code.WRITE_FAILED)
    assert_runs_again(house)


@pytest.mark.parametrize("quiesce", ["pause", "stop"])
async def test_held_container_runs_again_after_cancelling_and_post_runs(house: House, quiesce: str) -> None:
    volume = house.add_mail(MAIL, quiesce=quiesce, post=["resume"])
    volume.hold, volume.fault_at = True, 1500
    await house.queue()
    running = asyncio.create_task(house.work())
    await house.seen_in("volumes")
    assert house.machines["cell-mail"].state is HELD[quiesce]
    assert [path.stem for path in house.journal.glob("*.json")] == ["cell-mail"]
    await house.jobs.store.request_cancel(JOB_ID)
    await assert_failed(house, await running, Code.CANCELLED, JobState.CANCELLED)
    assert_runs_again(house)
    assert house.memory_engine.calls[-1] == ("run", "cell-mail")


async def test_container_that_cannot_be_held_still_is_not_read(house: House) -> None:
    house.add_mail(MAIL, quiesce="pause")
    house.memory_engine.faults["pause"] = REFUSED
    job = await house.back_up()
    assert failed_code(job) == Code.QUIESCE_FAILED
    assert ("read_volume", "cell-mail") not in house.memory_engine.calls
    assert_runs_again(house)
    prove(house)


async def test_container_that_ran_not_is_not_started(house: House) -> None:
    house.add_mail(MAIL, quiesce="stop")
    house.machines["cell-mail"].state = ContainerState.STOPPED
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    assert house.machines["cell-mail"].state is ContainerState.STOPPED


async def test_container_that_does_not_run_again_stays_in_the_journal(house: House) -> None:
    """The volume is whole; that its container stands still must not look like success."""
    house.add_mail(MAIL, quiesce="pause")
    house.memory_engine.faults["unpause"] = REFUSED
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    assert part(job, "mail/mailboxes").outcome is PartOutcome.SUCCEEDED
    assert failed_code(job) == Code.QUIESCE_FAILED
    assert json.loads((house.journal / "cell-mail.json").read_text())["mode"] == "pause"
    prove(house)


async def test_paused_by_a_real_client(house: House, tmp_path: Path) -> None:
    add_service(house.root, "mail", {"path": "/var/mail", "quiesce": "pause", "pre": ["flush"], "post": ["resume"]})
    async with FakeEngine(tmp_path / "engine.sock") as fake, using(house, fake):
        one = fake.add_container("cell-mail", {"/var/mail": MAIL}, commands={"resume": (7, b"still locked")})
        job = await house.back_up()
    assert one.state == "running"
    assert job.state is JobState.PARTIAL
    saved = part(job, "mail/mail")
    assert saved.outcome is PartOutcome.SUCCEEDED
    assert saved.error is not None
    assert "still locked" in saved.error.message
    assert saved.way == "archive"
    prove(house)
