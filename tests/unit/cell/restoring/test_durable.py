"""A power cut keeps what was made durable, in any order what was not: so each step waits for what it rests on."""

import os
from pathlib import Path

import pytest

from app.cell.restoring.journal import Note
from app.cell.restoring.operations import Operation
from app.cell.restoring.places import sync
from app.cell.restoring.plan import plan_files
from app.cell.restoring.swap import Swap
from app.cell.restoring.undo import Undo
from tests.unit.cell.restoring.support import LAYOUT, restore, save, staged
from tests.unit.cell.restoring.test_kills import other_cell, small_cell
from tests.unit.cell.restoring.test_swap import apply_all

FLUSHED = ["sync", "fsync"]  # the whole file system first, then the journal's line


class Recorder:
    """Write down in which order a restore changes the cell, flushes, and notes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        fsync, do, undo = os.fsync, Swap._do, Undo.run

        def noted_fsync(descriptor: int) -> None:
            fsync(descriptor)
            self.log.append("fsync")

        def noted_sync(descriptor: int) -> None:
            sync(descriptor)
            self.log.append("sync")

        def noted_do(swap: Swap, step: Operation) -> None:
            do(swap, step)
            self.log.append("change")

        def noted_undo(undoing: Undo, operations: object) -> tuple[str, ...]:
            said = undo(undoing, operations)  # type: ignore[arg-type]
            self.log.append("change")
            return said

        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr("app.cell.restoring.workspace.sync", noted_sync)
        monkeypatch.setattr(Swap, "_do", noted_do)
        monkeypatch.setattr(Undo, "run", noted_undo)

    def on_note(self, note: Note) -> None:
        self.log.append(f"note {note.kind}")

    def before(self, note: str, count: int = 2) -> list[str]:
        """Give what came right before a note."""
        at = self.log.index(f"note {note}")
        return self.log[at - count : at]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return small_cell(tmp_path / "old")


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return save(other_cell(tmp_path / "other"))


def test_staged_files_and_the_list_of_steps_are_on_the_disk_before_the_first_change(
    old: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    restore(old, archive, on_note=recorder.on_note)
    log = recorder.log
    assert recorder.before("prepared") == FLUSHED
    assert log.count("change") > 10
    assert log.index("note prepared") < log.index("note component") < log.index("change")


def test_every_note_is_on_the_disk_before_what_it_announces(
    old: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    restore(old, archive, on_note=recorder.on_note)
    notes = [at for at, event in enumerate(recorder.log) if event.startswith("note ")]
    assert len(notes) > 5
    assert {recorder.log[at - 1] for at in notes} == {"fsync"}


def test_new_files_are_on_the_disk_before_the_restore_is_called_done(
    old: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    restore(old, archive, on_note=recorder.on_note)
    assert recorder.before("committed") == FLUSHED
    assert "change" not in recorder.log[recorder.log.index("note committed") :]


def test_what_was_put_back_is_on_the_disk_before_nothing_is_owed_any_more(
    old: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    with staged(old, archive, on_note=recorder.on_note) as staging:
        swap = Swap(staging.workspace, plan_files(staging, chosen=LAYOUT.names))
        swap.prepare()
        apply_all(swap)
        swap.roll_back()
    assert recorder.before("rolled_back", 3) == ["change", *FLUSHED]
