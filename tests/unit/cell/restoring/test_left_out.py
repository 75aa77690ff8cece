"""A file that is none of the cell's although it lies there: the archive that is being restored."""

import os
from pathlib import Path

import pytest

from app.cell.restoring.plan import plan_files
from app.errors import Code, JobError
from tests.unit.cell.restoring.support import LAYOUT, changed, save, staged, swap_in
from tests.unit.cell.support import write


@pytest.mark.parametrize("at", ["data/my-backup.tar.gz", "config/deep/folder/my-backup.tar.gz"])
def test_the_archive_that_is_restored_stays_where_it_is(bare: Path, at: str) -> None:
    write(bare / "data/file")
    archive = save(bare)
    mine = write(bare / at)
    mine.write_bytes(archive)
    write(bare / "data/stale")

    with staged(bare, archive, leave_out=[mine]) as staging:
        made = plan_files(staging, chosen=LAYOUT.names)
        swap_in(staging.workspace, made)

    assert set(changed(made)) - {"config", "data"} == {"data/stale"}
    assert mine.read_bytes() == archive


def test_a_file_left_out_is_known_by_every_name(bare: Path, tmp_path: Path) -> None:
    archive = save(bare)
    mine = write(bare / "data/mine")
    os.link(mine, bare / "config/twin")
    (tmp_path / "link").symlink_to(mine)

    with staged(bare, archive, leave_out=[tmp_path / "link"]) as staging:
        made = plan_files(staging, chosen=LAYOUT.names)

    assert set(changed(made)) <= {"config", "data"}  # their times


def test_a_file_left_out_is_not_restored_over(bare: Path) -> None:
    mine = write(bare / "data/mine", "when it was saved")
    archive = save(bare)
    mine.write_text("now")

    with staged(bare, archive, leave_out=[mine]) as staging:
        made = plan_files(staging, chosen=LAYOUT.names)
        swap_in(staging.workspace, made)

    assert mine.read_text() == "now"
    assert any("data/mine" in warning for warning in made.warnings)


def test_a_file_left_out_is_in_the_way_of_a_file_in_its_folders_place(bare: Path) -> None:
    path = write(bare / "data/thing", "a file")
    archive = save(bare)
    path.unlink()
    mine = write(bare / "data/thing/mine")

    with staged(bare, archive, leave_out=[mine]) as staging, pytest.raises(JobError) as caught:
        plan_files(staging, chosen=LAYOUT.names)

    assert caught.value.code is Code.PLAN_CONFLICT
    assert "'mine' in it stays" in caught.value.message
