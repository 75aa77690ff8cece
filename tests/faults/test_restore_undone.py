"""Whatever ends a restore after its first change, everything comes back: files with their times, and volumes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.archive.parts import PartOutcome
from app.cell.restoring.journal import Journal, Kind
from app.engine.base import ContainerState
from app.engine.memory_writing import MemoryWriting
from app.errors import Code, JobError, PartError
from app.jobs.records import JobState
from tests.faults.disks import small_disk
from tests.faults.house import House, make_cell, part, tar_of, write
from tests.faults.restoring import (
    COMPONENTS,
    NEWER_MAIL,
    assert_put_back,
    assert_same,
    change,
    code_of,
    files_of,
    furnish,
    lock_up,
    restored,
    result_of,
    saved_and_changed,
    snapshot,
    volume,
)

# --- volumes


WRITES = {
    "at the first byte": MemoryWriting(fault=PartError(Code.STREAM_CUT, "It broke.")),
    "inside": MemoryWriting(fault=PartError(Code.STREAM_STALLED, "Nothing is taken."), fault_at=3000),
    "full": MemoryWriting(fault=PartError(Code.VOLUME_FULL, "No space left."), fault_at=2048),
    "near the end": MemoryWriting(fault=PartError(Code.STREAM_CUT, "It broke."), fault_at=75_000),
    "at its end": MemoryWriting(end=PartError(Code.TAR_FAILED, "tar exited with 2.", exit_code=2)),
    "away at its end": MemoryWriting(end=PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")),
    "not emptied": MemoryWriting(refused=PartError(Code.VOLUME_NOT_EMPTIED, "Old files are left.")),
}


@pytest.mark.parametrize("which", ["mail", "site"])
@pytest.mark.parametrize("when", WRITES)
async def test_a_volume_that_cannot_be_written(house: House, when: str, which: str) -> None:
    _, before = await saved_and_changed(house)
    fault = WRITES[when]
    code = next(error.code for error in (fault.fault, fault.end, fault.refused) if isinstance(error, PartError))
    at = fault.fault_at if which == "mail" else min(fault.fault_at, 100)
    volume(house, which).planned = [MemoryWriting(fault.refused, fault.fault, at, end=fault.end)]
    job = await restored(house)
    assert_put_back(house, before, job, code)
    failed = part(job, {"mail": "mail/mailboxes", "site": "site/pages"}[which])
    assert failed.outcome is PartOutcome.FAILED
    assert failed.error is not None
    assert failed.error.code == code
    vault = part(job, "vault")
    assert (vault.outcome, vault.files) == (PartOutcome.SKIPPED, 0)


async def test_a_volume_of_an_encrypted_archive_comes_back_too(house: House) -> None:
    furnish(house)
    data_key = await lock_up(house)
    change(house)
    before = snapshot(house)
    volume(house, "site").planned = [MemoryWriting(fault=PartError(Code.STREAM_CUT, "It broke."))]
    job = await restored(house, data_key=data_key)
    assert_put_back(house, before, job, Code.STREAM_CUT)


@pytest.mark.parametrize("mode", ["pause", "stop"])
async def test_a_container_that_is_held_still_runs_again_once_its_volume_is_back(house: House, mode: str) -> None:
    furnish(house)
    house.add_mail(volume(house, "mail").tar, quiesce=mode)
    await house.back_up()
    change(house)
    before = snapshot(house)
    volume(house, "mail").planned = [MemoryWriting(fault=PartError(Code.STREAM_CUT, "It broke."), fault_at=3000)]
    house.memory_engine.calls.clear()
    job = await restored(house)
    assert_put_back(house, before, job, Code.STREAM_CUT)
    assert house.machines["cell-mail"].state is ContainerState.RUNNING
    held, free = mode, {"pause": "unpause", "stop": "start"}[mode]
    calls = [call for call, name in house.memory_engine.calls if name == "cell-mail"]
    after_safety = calls[calls.index("read_volume") + 2 :]
    order = [call for call in after_safety if call in {held, free, "write_volume"}]
    assert order == [held, "write_volume", "write_volume", free], "it ran while its volume was half written"


@pytest.mark.parametrize("safety", ["none", "files"])
async def test_a_begun_volume_that_was_not_saved_cannot_come_back_and_that_is_said(house: House, safety: str) -> None:
    _, before = await saved_and_changed(house)
    volume(house, "mail").planned = [MemoryWriting(fault=PartError(Code.STREAM_CUT, "It broke."), fault_at=3000)]
    job = await restored(house, safety=safety)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.ROLLBACK_FAILED)
    assert "mail/mailboxes" in str(job.error)
    assert result_of(job)["rolled_back"] is False
    assert files_of(volume(house, "mail").tar) == {}
    volume(house, "mail").tar = tar_of(NEWER_MAIL)
    assert_same(house, before)  # the files are all as they were
    assert (await restored(house)).state is JobState.SUCCEEDED  # and nothing stands in the way of another try


@pytest.mark.parametrize("safety", ["none", "files"])
async def test_a_failure_before_the_first_volume_needs_no_saved_volumes(
    house: House, safety: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before = await saved_and_changed(house)
    monkeypatch.setattr(Journal, "note", failing_at(Kind.FOLDERS))
    job = await restored(house, safety=safety)
    assert_put_back(house, before, job, Code.SWAP_FAILED)


# --- files


def failing_at(kind: str, **wanted: Any) -> Callable[..., None]:
    """Give a `Journal.note` that fails once, when such a thing is about to be noted."""
    original, left = Journal.note, [1]

    def note(self: Journal, noted: str, **facts: Any) -> None:
        if left and noted == kind and wanted.items() <= facts.items():
            left.pop()
            raise JobError(Code.SWAP_FAILED, "The journal of the restore cannot be written: No space left on device.")
        original(self, noted, **facts)

    return note


@pytest.mark.parametrize("name", COMPONENTS)
async def test_a_component_that_cannot_be_begun(house: House, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = await saved_and_changed(house)
    monkeypatch.setattr(Journal, "note", failing_at(Kind.COMPONENT, name=name))
    job = await restored(house)
    assert_put_back(house, before, job, Code.SWAP_FAILED)
    assert result_of(job)["steps"][-1]["stage"] == name


@pytest.mark.parametrize("kind", [Kind.FOLDERS, Kind.VOLUME, Kind.COMMITTED])
async def test_a_journal_that_cannot_be_written(house: House, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = await saved_and_changed(house)
    monkeypatch.setattr(Journal, "note", failing_at(kind))
    assert_put_back(house, before, await restored(house), Code.SWAP_FAILED)


@pytest.mark.parametrize("kind", [Kind.OPENED, Kind.SAFETY, Kind.PREPARED])
async def test_a_journal_that_cannot_be_written_before_the_first_change(
    house: House, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before = await saved_and_changed(house)
    monkeypatch.setattr(Journal, "note", failing_at(kind))
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.SWAP_FAILED)
    assert_same(house, before)
    assert "rolled_back" not in result_of(job)


async def test_every_rename_of_the_swap_may_fail(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the first rename of a first restore, the second of a second, until one restore goes through."""
    _, before = await saved_and_changed(house)
    house.configure(job_history=1)
    faults = Renames(monkeypatch)
    for number in range(200):
        faults.fail_at(number)
        job = await restored(house, services=[], safety="none")
        if job.state is JobState.SUCCEEDED:
            break
        assert_put_back(house, before, job, Code.SWAP_FAILED)
    assert number > 8
    assert faults.left >= 0


class Renames:
    """Count the renames between directories, which only a swap does, and fail one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self._rename = os.rename
        monkeypatch.setattr(os, "rename", self._counted)

    def fail_at(self, number: int) -> None:
        self.left = number

    def _counted(self, source: Any, target: Any, **folders: Any) -> None:
        if folders and self.left >= 0:
            self.left -= 1
            if self.left < 0:
                raise OSError(5, "Input/output error")
        self._rename(source, target, **folders)


# --- the archive and the disk under it


async def test_an_archive_that_changes_once_it_was_verified(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was proven is what is written: whoever can write to the file does not get anything else restored."""
    _, before = await saved_and_changed(house)
    (archive,) = house.archives.glob("*.tar.gz")
    original = Journal.note

    def note(self: Journal, noted: str, **facts: Any) -> None:
        original(self, noted, **facts)
        if noted == Kind.FOLDERS:
            with archive.open("r+b") as file:
                file.seek(-100, os.SEEK_END)
                file.write(b"other bytes")

    monkeypatch.setattr(Journal, "note", note)
    job = await restored(house)
    assert_put_back(house, before, job, Code.ARCHIVE_DAMAGED)


async def test_a_cell_whose_disk_has_no_room_for_the_files(house: House, tmp_path: Path) -> None:
    furnish(house)
    write(house.root / "data/something/large", os.urandom(2 << 20))
    await house.back_up()
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        small = House(disk / "cell", house.settings.model_copy(update={"cell_root": disk / "cell"}))
        make_cell(small.root)
        before = snapshot(small)
        job = await restored(small)
        assert (job.state, code_of(job)) == (JobState.FAILED, Code.SPACE_MISSING)
        assert_same(small, before)
