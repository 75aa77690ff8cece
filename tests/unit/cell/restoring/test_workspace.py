import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.archive.parts import Part, PartKind
from app.cell.restoring.workspace import open_workspace, unfinished
from app.errors import Code, InputError, JobError
from tests.support.trees import describe, differences
from tests.unit.cell.restoring.support import BACKUP_ID
from tests.unit.cell.support import closed, write

VOLUME = Part(PartKind.VOLUME, "mailboxes", service="mail", container="cell-mail", path="/var/mail", image="mail:2")
JOURNAL = ".cell-backup/restore/journal"
HOLDER = """
import sys
from pathlib import Path
from app.archive.parts import Part, PartKind
from app.cell.restoring.workspace import open_workspace
with open_workspace(Path(sys.argv[1]), job_id="other", backup_id="x") as workspace:
    if sys.argv[2:] == ["change"]:
        workspace.note_safety("backup-safety", "sealed")
        workspace.note_volume(Part(PartKind.VOLUME, "boxes", service="mail", container="cell-mail", path="/var/mail"))
    print("open", flush=True)
    sys.stdin.read()
"""


def holder(root: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start another process that restores; it goes on until its stdin ends, or it is killed."""
    command = [sys.executable, "-c", HOLDER, str(root), *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def killed(root: Path, *words: str) -> None:
    """Have a restore die."""
    with holder(root, *words) as process:
        process.kill()


def test_nothing_is_left_of_a_workspace_in_which_nothing_was_changed(bare: Path) -> None:
    before = describe(bare)

    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
        assert (bare / ".cell-backup/restore").stat().st_mode & 0o777 == 0o700
        assert bare.stat().st_mtime_ns == before[b"."].mtime
        workspace.note_safety("backup-safety", None)

    assert differences(before, describe(bare)) == []


def test_nothing_is_left_where_the_block_fails(bare: Path) -> None:
    before = describe(bare)

    with pytest.raises(RuntimeError), open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
        raise RuntimeError

    assert differences(before, describe(bare)) == []


def test_what_somebody_else_keeps_beside_the_workspace_stays(bare: Path) -> None:
    write(bare / ".cell-backup/header.json", "unpacked by hand")
    before = describe(bare)

    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
        pass

    assert differences(before, describe(bare), ignoring=["mtime"]) == []


def test_a_cell_that_another_process_restores_is_busy(bare: Path) -> None:
    with holder(bare):
        with pytest.raises(JobError) as opening, open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
            pass
        with pytest.raises(JobError) as looking, unfinished(bare):
            pass

    assert opening.value.code is looking.value.code is Code.CELL_BUSY
    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
        pass


def test_a_process_that_died_before_it_changed_anything_leaves_nothing_to_do(bare: Path) -> None:
    before = describe(bare)
    killed(bare)
    assert (bare / JOURNAL).exists()

    with unfinished(bare) as left:
        assert left is None

    assert differences(before, describe(bare)) == []


def test_a_new_restore_clears_what_a_dead_one_left_that_had_changed_nothing(bare: Path) -> None:
    before = describe(bare)
    killed(bare)
    write(bare / ".cell-backup/restore/staged/7", "of the dead one")

    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
        assert [note.kind for note in workspace.journal.notes] == ["opened"]
        assert list((workspace.folder / "staged").iterdir()) == []

    assert differences(before, describe(bare)) == []


def test_whoever_comes_next_learns_what_a_dead_restore_had_begun(bare: Path) -> None:
    before = describe(bare)
    killed(bare, "change")

    with pytest.raises(JobError) as caught, open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
        pass
    assert caught.value.code is Code.CELL_BUSY
    with unfinished(bare) as left:
        assert left is not None
        assert (left.job_id, left.backup_id, left.committed) == ("other", "x", False)
        assert (left.safety_id, left.safety_key) == ("backup-safety", "sealed")
        assert [(part.label, part.container, part.path) for part in left.volumes] == [
            ("mail/boxes", "cell-mail", "/var/mail")
        ]
    assert (bare / JOURNAL).exists()  # nobody put anything back yet
    with unfinished(bare) as left:
        assert left is not None
        left.roll_back()

    assert differences(before, describe(bare)) == []


def test_a_restore_that_was_done_waits_until_it_is_finished(bare: Path) -> None:
    before = describe(bare)
    killed(bare, "change")
    with (bare / JOURNAL).open("a") as journal:
        journal.write('{"kind": "committed"}\n')

    with unfinished(bare) as left:
        assert left is not None
        assert left.committed
    with unfinished(bare) as left:
        assert left is not None
        left.finish()

    assert differences(before, describe(bare)) == []


@pytest.mark.parametrize("torn", [b'{"kind": "volu', b"\0" * 500, b'{"kind": "committed"}'])
def test_a_line_that_was_being_written_when_the_process_died_does_not_count(bare: Path, torn: bytes) -> None:
    killed(bare, "change")
    with (bare / JOURNAL).open("ab") as journal:
        journal.write(torn)

    with unfinished(bare) as left:
        assert left is not None
        assert not left.committed
        left.roll_back()
        lines = (bare / JOURNAL).read_bytes().splitlines()

    assert [json.loads(line)["kind"] for line in lines] == ["opened", "safety", "volume", "rolled_back"]


@pytest.mark.parametrize("line", [b"what is this\n", b"[]\n", b"{}\n"])
def test_a_journal_that_is_none_is_an_error_and_stays(bare: Path, line: bytes) -> None:
    killed(bare, "change")
    with (bare / JOURNAL).open("ab") as journal:
        journal.write(line)

    with pytest.raises(JobError) as caught, unfinished(bare):
        pass

    assert caught.value.code is Code.ROLLBACK_FAILED
    assert (bare / JOURNAL).exists()


def test_volumes_are_noted_with_all_that_is_known_of_them(bare: Path) -> None:
    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
        workspace.note_volume(VOLUME)
        with (bare / JOURNAL).open() as journal:
            last = json.loads(journal.readlines()[-1])
        workspace.roll_back()

    assert Part(**last["part"] | {"kind": PartKind.VOLUME}) == VOLUME


def test_a_cell_root_that_is_not_there_or_closed_is_named(bare: Path) -> None:
    with pytest.raises(InputError) as missing, open_workspace(bare / "no", job_id="job", backup_id=BACKUP_ID):
        pass
    with closed(bare), pytest.raises(InputError) as unreadable, open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
        pass
    with closed(bare, 0o500), pytest.raises(JobError) as failed, open_workspace(bare, job_id="j", backup_id="b"):
        pass

    assert missing.value.code is Code.CELL_ROOT_MISSING
    assert unreadable.value.code is Code.CELL_ROOT_UNREADABLE
    assert failed.value.code is Code.SWAP_FAILED
    assert "Permission denied" in failed.value.message
    with unfinished(bare / "no") as left:
        assert left is None


def test_a_root_that_is_reached_through_a_link_is_the_same_cell(bare: Path, tmp_path: Path) -> None:
    link = tmp_path / "pic"
    link.symlink_to(bare)

    with open_workspace(link, job_id="job", backup_id=BACKUP_ID) as workspace:
        assert workspace.root == bare
        with pytest.raises(JobError) as caught, open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
            pass

    assert caught.value.code is Code.CELL_BUSY


def test_a_link_in_the_place_of_the_folder_is_not_followed(bare: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (bare / ".cell-backup").symlink_to(elsewhere)

    with pytest.raises(JobError) as caught, open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
        pass

    assert caught.value.code is Code.SWAP_FAILED
    assert list(elsewhere.iterdir()) == []


def test_no_descriptor_stays_open(bare: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as it is

    before = count()
    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID):
        pass
    with unfinished(bare):
        pass

    assert count() == before
