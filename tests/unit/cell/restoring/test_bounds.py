"""What an archive may cost before a restore refuses it: memory, depth, inodes."""

import io
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.archive.headers import DIRECTORY, SYMLINK, Member
from app.archive.verify import verify
from app.cell.restoring import remembering
from app.cell.restoring.places import Boundaries
from app.cell.restoring.staging import Staging
from app.cell.restoring.workspace import open_workspace
from app.errors import ArchiveError, Code, JobError
from tests.support.trees import AS_ROOT
from tests.unit.cell.restoring.support import BACKUP_ID, LAYOUT
from tests.unit.cell.restoring.test_staging import archive_of

LONG = b"/".join([b"d" * 250] * 7)


def stage(root: Path, *members: Member) -> Staging:
    with open_workspace(root, job_id="job", backup_id=BACKUP_ID) as workspace:
        staging = Staging(workspace, LAYOUT)
        archive = archive_of(*((member, b"") for member in members))
        verify(io.BytesIO(archive), data_key=None, receiver=staging)
        return staging


XATTRS = {b"SCHILY.xattr.user.x": b"A" * 10_000}
MEMBERS = {
    "xattrs of folders": [Member(b"data/%d/" % n, DIRECTORY, records=XATTRS) for n in range(20)],
    "xattrs of files": [Member(b"data/%d" % n, records=XATTRS) for n in range(20)],
    "names of folders": [Member(b"data/%d/%s/" % (n, LONG), DIRECTORY) for n in range(20)],
    "names of implied folders": [Member(b"data/%d/%s" % (n, b"ddd/" * 90 + b"f")) for n in range(9)],
    "targets of links": [Member(b"data/l/%d" % n, SYMLINK, link=b"d/" * 1000) for n in range(80)],
}


@pytest.mark.parametrize("what", MEMBERS)
def test_what_takes_more_memory_than_any_cell_is_refused(
    bare: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    members = MEMBERS[what]
    monkeypatch.setattr(remembering, "MAX_BYTES", 100_000)

    with pytest.raises(ArchiveError) as caught:
        stage(bare, *members)

    assert caught.value.code is Code.ARCHIVE_HOSTILE
    assert "take more than 100000 bytes" in caught.value.message
    assert "No cell has that many" in caught.value.hint
    monkeypatch.undo()
    assert stage(bare, *members).tree.entries


def test_a_folder_that_many_files_imply_counts_once(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "MAX_BYTES", 30_000)

    staging = stage(bare, *(Member(b"data/%s/%d" % (b"d" * 100, n)) for n in range(200)))
    assert sum(path.startswith("data/d") for path in staging.tree.entries) >= 200


def test_a_path_of_many_folders_is_found_its_place(bare: Path) -> None:
    assert Boundaries(bare).place_of("/".join(["data", *["d"] * 2000])) == ""


@contextmanager
def few_inodes(at: Path, count: int) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=200m,nr_inodes={count}", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.mark.skipif(not AS_ROOT, reason="needs the right to mount")
@pytest.mark.parametrize("kind", [Member(b"").kind, SYMLINK])
def test_the_last_inodes_of_a_disk_stay_free(tmp_path: Path, kind: int) -> None:
    members = [Member(b"data/%d" % n, kind, link=b"x" if kind == SYMLINK else b"") for n in range(400)]
    with few_inodes(tmp_path / "disk", 400) as disk, pytest.raises(JobError) as caught:
        stage(disk, *members)

    assert caught.value.code is Code.SPACE_MISSING
    assert "inodes free, and a restore leaves 4 free" in caught.value.message


@pytest.mark.skipif(not AS_ROOT, reason="needs the right to mount")
def test_a_disk_that_counts_no_inodes_has_enough(tmp_path: Path) -> None:
    with few_inodes(tmp_path / "disk", 0) as disk:
        assert "data/a" in stage(disk, Member(b"data/a")).tree.entries
