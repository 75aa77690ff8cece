"""What others may ask of a restore that was cut off, or runs, without disturbing it."""

from pathlib import Path

import pytest

from app.archive.parts import Part, PartKind
from app.cell.restoring.workspace import open_workspace, owed_containers, owed_safety, unfinished
from tests.support.trees import describe, differences
from tests.unit.cell.restoring.support import BACKUP_ID
from tests.unit.cell.restoring.test_workspace import JOURNAL, VOLUME, killed
from tests.unit.cell.support import write


def test_a_cell_without_a_restore_owes_nothing(bare: Path) -> None:
    for root in (bare, bare / "no", write(bare / "file")):
        assert owed_safety(root) is None
        assert owed_containers(root) == frozenset()


def test_a_restore_that_runs_needs_its_safety_archive_and_its_containers(bare: Path) -> None:
    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
        assert owed_safety(bare) is None
        workspace.note_safety("backup-safety", None)
        assert (owed_safety(bare), owed_containers(bare)) == ("backup-safety", frozenset())
        workspace.note_volume(VOLUME)
        workspace.note_volume(Part(PartKind.VOLUME, "lists", service="mail", container="cell-lists", path="/var/lists"))
        assert owed_containers(bare) == {"cell-mail", "cell-lists"}
        workspace.commit()
        assert (owed_safety(bare), owed_containers(bare)) == (None, frozenset())


def test_looking_at_a_restore_that_was_cut_off_changes_nothing(bare: Path) -> None:
    killed(bare, "change")
    before = describe(bare)

    assert owed_safety(bare) == "backup-safety"
    assert owed_containers(bare) == {"cell-mail"}

    assert differences(before, describe(bare)) == []
    with unfinished(bare) as left:
        assert left is not None
        assert left.containers == {"cell-mail"}
        left.roll_back()
        assert left.containers == frozenset()
        assert (owed_safety(bare), owed_containers(bare)) == (None, frozenset())


@pytest.mark.parametrize("content", [b"what is this\n", b"{}\n", None])
def test_a_journal_that_cannot_be_read_owes_nothing_that_is_known(bare: Path, content: bytes | None) -> None:
    if content is None:
        (bare / JOURNAL).mkdir(parents=True)
    else:
        write(bare / JOURNAL).write_bytes(content)

    assert owed_safety(bare) is None
    assert owed_containers(bare) == frozenset()
