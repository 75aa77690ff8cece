"""What services put into the cell while a restore changes it is not lost, and does not block the way back."""

import os
from pathlib import Path

import pytest

from app.cell.restoring.plan import plan_files
from app.cell.restoring.swap import Swap
from app.cell.restoring.workspace import unfinished
from app.errors import Code, JobError
from tests.support.trees import describe, differences
from tests.unit.cell.restoring.dying import die_at
from tests.unit.cell.restoring.support import LAYOUT, save, staged
from tests.unit.cell.restoring.test_swap import apply_all, prepared
from tests.unit.cell.support import write

ASIDE = "thing.cell-backup-job"


@pytest.fixture
def file_now(bare: Path) -> tuple[Path, bytes]:
    """Give a cell with a file, and an archive that has a folder there."""
    write(bare / "data/thing/in", "of the archive")
    archive = save(bare)
    (bare / "data/thing/in").unlink()
    (bare / "data/thing").rmdir()
    write(bare / "data/thing", "a file now")
    return bare, archive


@pytest.fixture
def folder_now(bare: Path) -> tuple[Path, bytes]:
    """Give a cell with a folder, and an archive that has a file there."""
    path = write(bare / "data/thing", "of the archive")
    archive = save(bare)
    path.unlink()
    write(bare / "data/thing/in", "a folder now")
    return bare, archive


@pytest.mark.parametrize("planned", ["a folder", "a file", "a file that goes"])
def test_a_folder_that_nobody_planned_with_ends_the_restore(bare: Path, planned: str) -> None:
    path = write(bare / "data/thing", "of the archive")
    archive = save(bare)
    path.unlink()
    write(path / "in" if planned == "a folder" else path, "old")
    if planned == "a file that goes":
        path.unlink()
        archive = save(bare)
        write(path, "old")
    before = describe(bare)
    with staged(bare, archive) as staging:
        swap = Swap(staging.workspace, plan_files(staging, chosen=LAYOUT.names))
        swap.prepare()
        if planned != "a folder":
            path.unlink()
        late = write(path / "late", "by a service")
        with pytest.raises(JobError) as caught:
            apply_all(swap)
        swap.roll_back()

    assert caught.value.code is Code.SWAP_FAILED
    assert "data/thing could not be replaced: late came into it" in caught.value.message
    assert late.read_text() == "by a service"
    late.unlink()
    if planned != "a folder":
        path.rmdir()
        write(path, "old")
    assert differences(before, describe(bare), ignoring=["mtime"]) == []


def test_an_empty_folder_that_nobody_planned_with_ends_the_restore(bare: Path) -> None:
    path = write(bare / "data/thing", "of the archive")
    archive = save(bare)
    path.unlink()
    with prepared(bare, archive) as swap:
        path.mkdir()
        with pytest.raises(JobError) as caught:
            apply_all(swap)
        swap.roll_back()

    assert "data/thing could not be replaced: it has become a folder" in caught.value.message
    assert path.is_dir()


def test_a_new_folder_that_a_service_uses_makes_way_for_the_old_file(file_now: tuple[Path, bytes]) -> None:
    root, archive = file_now
    before = describe(root)
    with prepared(root, archive) as swap:
        apply_all(swap)
        write(root / "data/thing/late", "by a service")
        warnings = swap.roll_back()

    assert (root / "data" / ASIDE / "late").read_text() == "by a service"
    assert warnings == (f"data/thing: somebody put files into the new folder, which is now {ASIDE}.",)
    (root / "data" / ASIDE / "late").unlink()
    (root / "data" / ASIDE).rmdir()
    assert differences(before, describe(root), ignoring=["mtime"]) == []


def test_a_new_folder_makes_way_also_where_its_new_name_is_taken(file_now: tuple[Path, bytes]) -> None:
    root, archive = file_now
    with prepared(root, archive) as swap:
        apply_all(swap)
        write(root / "data" / ASIDE / "mine")
        write(root / "data/thing/late")
        swap.roll_back()

    assert (root / "data/thing").read_text() == "a file now"
    assert (root / f"data/{ASIDE}-2/late").exists()


def test_a_folder_with_the_longest_name_makes_way(bare: Path) -> None:
    name = "é" * 127
    path = write(bare / "data" / name / "in")
    archive = save(bare)
    path.unlink()
    path.parent.rmdir()
    write(bare / "data" / name, "a file now")
    with prepared(bare, archive) as swap:
        apply_all(swap)
        write(path.parent / "late")
        swap.roll_back()

    assert (bare / "data" / name).read_text() == "a file now"
    assert [entry.name for entry in os.scandir(bare / "data") if entry.name.endswith(".cell-backup-job")] != []


def test_the_start_after_a_death_is_not_stuck_on_a_folder_either(file_now: tuple[Path, bytes]) -> None:
    root, archive = file_now
    die_at(root, archive, "folders")
    write(root / "data/thing/late", "by a service")

    with unfinished(root) as left:
        assert left is not None
        left.roll_back()

    assert (root / "data/thing").read_text() == "a file now"
    assert (root / "data" / ASIDE / "late").exists()
    assert not (root / ".cell-backup").exists()


def test_a_folder_that_replaced_a_new_file_is_not_thrown_away(folder_now: tuple[Path, bytes]) -> None:
    root, archive = folder_now
    with prepared(root, archive) as swap:
        apply_all(swap)
        (root / "data/thing").unlink()
        write(root / "data/thing/late", "by a service")
        swap.roll_back()
        swap.roll_back()

    assert (root / "data/thing/in").read_text() == "a folder now"
    assert (root / "data" / ASIDE / "late").read_text() == "by a service"
    assert not (root / f"data/{ASIDE}-2").exists()


def test_a_new_file_that_somebody_removed_is_remembered_by_a_second_way_back(folder_now: tuple[Path, bytes]) -> None:
    root, archive = folder_now
    before = describe(root)
    with prepared(root, archive) as swap:
        apply_all(swap)
        (root / "data/thing").unlink()
        swap.roll_back()
        swap.roll_back()

    assert differences(before, describe(root)) == []
