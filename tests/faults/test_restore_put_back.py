"""Putting volumes back when that does not go well at once: nothing is given up that can still be had."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from app.archive.parts import PartOutcome
from app.engine.base import ContainerState, VolumeSink
from app.engine.memory import MemoryEngine, MemoryVolume
from app.engine.memory_writing import MemoryWriting
from app.errors import Code, PartError
from app.jobs.records import JobState
from tests.faults.house import House, part, tar_of
from tests.faults.restoring import (
    MAIL,
    Snapshot,
    assert_put_back,
    change,
    code_of,
    files_of,
    furnish,
    queue_restore,
    restored,
    result_of,
    snapshot,
    volume,
)
from workers.restore import restore
from workers.restoring import putting_back

AWAY = PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")
BROKE = PartError(Code.VOLUME_FULL, "No space left on device.")
RESTARTING = PartError(Code.ENGINE_ERROR, "The container is restarting.")
NOT_EMPTIED = PartError(Code.VOLUME_NOT_EMPTIED, "/var/mail could not be emptied: Operation not permitted")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(putting_back, "_PAUSES", (0.0, 0.0, 0.0))


async def held_mail(house: House) -> tuple[MemoryVolume, Snapshot]:
    """Give the volume of a mail service that is stopped while it is written, after a backup and what came later."""
    furnish(house)
    mail = house.add_mail(tar_of(MAIL), quiesce="stop")
    await house.back_up()
    change(house)
    return mail, snapshot(house)


class CancellingEngine(MemoryEngine):
    """Have the job told to end as its volume is put back."""

    def __init__(self, house: House, cancel: Callable[[], None]) -> None:
        super().__init__(house.machines)
        self._cancel = cancel
        self._writes = 0

    @override
    @asynccontextmanager
    async def write_volume(
        self, container: str, path: str, *, empty: bool, plain: bool = False
    ) -> AsyncIterator[VolumeSink]:
        self._writes += 1
        if self._writes == 2:
            self._cancel()
            await asyncio.sleep(0)
        async with super().write_volume(container, path, empty=empty, plain=plain) as sink:
            yield sink


async def test_told_to_end_while_a_held_container_is_put_back(house: House) -> None:
    mail, before = await held_mail(house)
    mail.planned = [MemoryWriting(fault=BROKE, fault_at=100)]

    def tell_to_end() -> None:
        running.cancel()

    house.memory_engine = CancellingEngine(house, tell_to_end)
    job = await queue_restore(house)
    running = asyncio.create_task(house.work(restore, job_id=job.job_id))
    ended = await running
    assert_put_back(house, before, ended, Code.WORKER_STOPPED)
    assert list(house.journal.glob("*")) == []
    assert not [warning for warning in ended.warnings if "was left" in warning]  # it ran as soon as it was whole


async def test_a_container_whose_volume_is_put_back_at_the_second_attempt_runs_again(house: House) -> None:
    mail, before = await held_mail(house)
    mail.planned = [MemoryWriting(fault=BROKE, fault_at=100), MemoryWriting(refused=AWAY)]
    job = await restored(house)
    assert_put_back(house, before, job, BROKE.code)
    assert house.machines["cell-mail"].state is ContainerState.RUNNING
    assert list(house.journal.glob("*")) == []


async def test_what_cannot_be_removed_is_written_over(house: House) -> None:
    mail, before = await held_mail(house)
    mail.planned = [MemoryWriting(fault=BROKE, fault_at=100), MemoryWriting(refused=NOT_EMPTIED)]
    job = await restored(house)
    assert_put_back(house, before, job, BROKE.code)
    assert not mail.writings[-1].emptied
    assert any(NOT_EMPTIED.message in warning for warning in job.warnings)


async def test_a_container_that_restarts_just_then_is_tried_again(house: House) -> None:
    mail, before = await held_mail(house)
    mail.planned = [MemoryWriting(fault=BROKE, fault_at=100), *[MemoryWriting(refused=RESTARTING) for _ in range(3)]]
    assert_put_back(house, before, await restored(house), BROKE.code)


async def test_a_container_that_never_takes_it_is_named(house: House) -> None:
    mail, _ = await held_mail(house)
    mail.planned = [MemoryWriting(fault=BROKE, fault_at=100), *[MemoryWriting(refused=RESTARTING) for _ in range(4)]]
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.ROLLBACK_FAILED)
    assert result_of(job)["rolled_back"] is False
    assert "mail/mailboxes could not be put back: The container is restarting." in str(job.error)


async def test_what_fails_while_it_is_written_is_not_tried_from_the_middle(house: House) -> None:
    mail, _ = await held_mail(house)
    mail.planned = [MemoryWriting(fault=BROKE, fault_at=100), MemoryWriting(fault=RESTARTING, fault_at=1000)]
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.ROLLBACK_FAILED)
    assert len(mail.writings) == 2


async def test_a_mount_in_a_volume_that_cannot_be_replaced_stays_and_is_named(house: House) -> None:
    furnish(house)
    await house.back_up()
    change(house)
    volume(house, "mail").planned = [MemoryWriting(spared=("ada",))]
    job = await restored(house)
    mail = part(job, "mail/mailboxes")
    assert (job.state, mail.outcome) == (JobState.PARTIAL, PartOutcome.SUCCEEDED)
    assert mail.error is not None
    assert mail.error.code == Code.VOLUME_INCOMPLETE
    assert "services/mail/mailboxes/ada" in mail.error.message
    assert any(warning.startswith("ada stays as it is") for warning in mail.warnings)
    assert files_of(volume(house, "mail").tar) == {"bob/1": MAIL["bob/1"]}


async def test_a_mount_that_cannot_be_replaced_keeps_nothing_from_being_put_back(house: House) -> None:
    mail, _ = await held_mail(house)
    mail.planned = [MemoryWriting(fault=BROKE, fault_at=100, spared=("ada",)), MemoryWriting(spared=("ada/3",))]
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, BROKE.code)
    assert result_of(job)["rolled_back"] is True
    assert files_of(mail.tar) == {"ada/1": b"edited"}
