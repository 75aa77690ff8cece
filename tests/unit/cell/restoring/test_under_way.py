"""A quick archive of a cell that a restore works on would be half old and half new: there is none."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.archive.files import Entry, FileMembers
from app.cell.quick import make_quick_archive
from app.cell.restoring.under_way import check_not_restored
from app.cell.restoring.workspace import open_workspace, unfinished
from app.errors import Code, JobError
from tests.support.trees import describe, differences
from tests.unit.cell.restoring.support import BACKUP_ID
from tests.unit.cell.restoring.test_workspace import JOURNAL, VOLUME, holder, killed
from tests.unit.cell.support import write

NOW = datetime(2026, 3, 1, 2, 30, 15, tzinfo=UTC)


def refused(root: Path, ask: Callable[[Path], object] = check_not_restored) -> JobError:
    """Ask, and check that asking has changed nothing."""
    before = describe(root)
    with pytest.raises(JobError) as caught:
        ask(root)
    assert differences(before, describe(root)) == []
    return caught.value


def test_a_cell_without_a_restore_is_left_alone(bare: Path) -> None:
    before = describe(bare)
    for root in (bare, bare / "no", write(bare / "file")):
        check_not_restored(root)
    (bare / "file").unlink()
    assert differences(before, describe(bare), ignoring=["mtime"]) == []
    write(bare / ".cell-backup")
    check_not_restored(bare)


@pytest.mark.parametrize("words", [(), ("change",)])
def test_a_restore_that_runs(bare: Path, words: tuple[str, ...]) -> None:
    with holder(bare, *words) as process:
        error = refused(bare)
        process.kill()
    assert error.code is Code.CELL_BUSY
    assert error.message == f"A restore of {bare} runs."


def test_a_restore_that_was_cut_off_until_it_is_put_back(bare: Path) -> None:
    killed(bare, "change")
    error = refused(bare)
    assert error.code is Code.CELL_BUSY
    assert "was cut off" in error.message
    assert "cell-backup restore" in error.hint
    with unfinished(bare) as left:
        assert left is not None
        left.roll_back()
    check_not_restored(bare)


def test_a_restore_that_had_changed_nothing_and_one_that_was_done_are_none(bare: Path) -> None:
    killed(bare)
    check_not_restored(bare)
    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
        workspace.note_volume(VOLUME)
        workspace.commit()
        journal = (bare / JOURNAL).read_bytes()
    write(bare / JOURNAL).write_bytes(journal)
    check_not_restored(bare)


def test_a_journal_that_cannot_be_read(bare: Path) -> None:
    write(bare / JOURNAL).write_bytes(b"what is this\n")
    assert refused(bare).code is Code.ROLLBACK_FAILED


def test_no_quick_archive_of_a_cell_that_was_cut_off(cell: Path) -> None:
    killed(cell, "change")
    assert refused(cell, lambda root: make_quick_archive(root, now=NOW)).code is Code.CELL_BUSY


def test_no_quick_archive_where_a_restore_began_meanwhile(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe(cell / "backups")
    begin = open_workspace(cell, job_id="job", backup_id=BACKUP_ID)
    real = FileMembers.add

    def add(self: FileMembers, entry: Entry) -> str | None:
        if not (cell / JOURNAL).exists():
            begin.__enter__()
        return real(self, entry)

    monkeypatch.setattr(FileMembers, "add", add)
    try:
        with pytest.raises(JobError) as caught:
            make_quick_archive(cell, now=NOW)
    finally:
        begin.__exit__(None, None, None)
    assert caught.value.code is Code.CELL_BUSY
    assert differences(before, describe(cell / "backups"), ignoring=["mtime"]) == []
