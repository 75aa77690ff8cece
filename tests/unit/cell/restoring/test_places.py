"""A cell of several file systems: each file is staged where a rename can take it in."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.cell.files import take_inventory
from app.cell.restoring.places import Boundaries
from app.cell.restoring.plan import plan_files
from app.cell.restoring.swap import Swap
from app.cell.restoring.workspace import open_workspace, unfinished
from app.errors import Code, JobError
from tests.support.trees import AS_ROOT, describe, differences
from tests.unit.cell.restoring.dying import die_at
from tests.unit.cell.restoring.support import BACKUP_ID, LAYOUT, cell_part, changed, restore, save, staged
from tests.unit.cell.support import write

pytestmark = pytest.mark.skipif(not AS_ROOT, reason="needs the right to mount")


@contextmanager
def mounted(at: Path, *words: str) -> Iterator[Path]:
    at.parent.mkdir(parents=True, exist_ok=True)
    if not at.exists():
        at.mkdir()
    subprocess.run(["mount", *words, str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def disk(at: Path) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(mounted(at, "-t", "tmpfs", "-o", "size=100m,mode=755", "tmpfs"))
    return stack


def bound(source: Path, at: Path) -> ExitStack:
    """Mount a folder of the same file system: the device is the same, and a rename ends there all the same."""
    source.mkdir(exist_ok=True)
    stack = ExitStack()
    stack.enter_context(mounted(at, "--bind", str(source)))
    return stack


@pytest.fixture(params=["another file system", "the same one once more"])
def divided(request: pytest.FixtureRequest, bare: Path, tmp_path: Path) -> Iterator[Path]:
    """Give a cell whose data/ is mounted."""
    data = bare / "data"
    with disk(data) if request.param == "another file system" else bound(tmp_path / "srv", data):
        write(data / "vault/key", "old")
        write(data / "stale/file", "old")
        write(bare / "config/file", "old")
        yield bare


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    source = tmp_path / "source"
    write(source / "data/vault/key", "new")
    write(source / "data/deep/file", "new")
    write(source / "config/file", "new")
    os.link(source / "data/deep/file", source / "config/linked")
    os.link(source / "data/deep/file", source / "data/linked")
    return save(source)


def test_a_divided_cell_is_restored_and_nothing_is_left(divided: Path, archive: bytes, tmp_path: Path) -> None:
    plan = restore(divided, archive)

    assert differences(cell_part(tmp_path / "source"), cell_part(divided), ignoring=["names"]) == []
    assert sorted(path.name for path in divided.iterdir()) == ["config", "data"]
    assert sorted(path.name for path in (divided / "data").iterdir()) == ["deep", "linked", "vault"]
    assert (divided / "data/linked").stat().st_nlink == 2
    assert any("config/linked" in warning and "different file systems" in warning for warning in plan.warnings)


def test_a_divided_cell_that_is_the_same_stays_as_it_is(divided: Path) -> None:
    archive = save(divided)
    before = describe(divided)

    assert changed(restore(divided, archive)) == {}
    assert differences(before, describe(divided)) == []


def test_a_divided_cell_is_rolled_back(divided: Path, archive: bytes) -> None:
    before = describe(divided)
    with staged(divided, archive) as staging:
        swap = Swap(staging.workspace, plan_files(staging, chosen=LAYOUT.names))
        swap.prepare()
        for name in LAYOUT.names:
            swap.apply(name)
        swap.finish_folders()
        assert (divided / "data/vault/key").read_text() == "new"
        swap.roll_back()

    assert differences(before, describe(divided)) == []


def test_what_a_dead_restore_left_on_another_file_system_is_found_and_no_backup_takes_it(
    divided: Path, archive: bytes
) -> None:
    before = describe(divided)
    die_at(divided, archive, "prepared")

    (elsewhere,) = (divided / "data").glob(".cell-backup-restore")
    inventory = take_inventory(divided, LAYOUT)
    assert not [entry.path for item in inventory.components for entry in item.entries if elsewhere.name in entry.path]
    with unfinished(divided) as left:
        assert left is None
    assert differences(before, describe(divided)) == []


def test_a_divided_cell_is_put_back_after_a_restore_that_died(divided: Path, archive: bytes) -> None:
    before = describe(divided)
    die_at(divided, archive, "folders")
    assert (divided / "data/vault/key").read_text() == "new"

    with unfinished(divided) as left:
        assert left is not None
        left.roll_back()

    assert differences(before, describe(divided)) == []


def test_a_file_that_something_is_mounted_over_is_a_conflict(bare: Path, tmp_path: Path) -> None:
    path = write(bare / "config/Caddyfile", "archive")
    archive = save(bare)
    path.write_text("old")
    with mounted(path, "--bind", str(write(tmp_path / "file", "mounted"))):
        with staged(bare, archive) as staging, pytest.raises(JobError) as caught:
            plan_files(staging, chosen=LAYOUT.names)
        path_is_mounted = path.read_text() == "mounted"

    assert path_is_mounted
    assert caught.value.code is Code.PLAN_CONFLICT
    assert "config/Caddyfile is in the way: something is mounted there" in caught.value.message


def test_a_stale_folder_that_is_mounted_stays(bare: Path) -> None:
    archive = save(bare)
    with disk(bare / "data/mounted"):
        write(bare / "data/mounted/file")

        restore(bare, archive)

        assert list((bare / "data/mounted").iterdir()) == []


def test_places_begin_where_something_is_mounted(bare: Path, tmp_path: Path) -> None:
    with disk(bare / "data"), bound(tmp_path / "srv", bare / "data/a space\n"):
        boundaries = Boundaries(bare)
        where = {
            path: boundaries.place_of(path)
            for path in ("", "config", "config/new/deep", "data", "data/new", "data/a space\n/x")
        }

    assert where == {
        "": "",
        "config": "",
        "config/new/deep": "",
        "data": "data",
        "data/new": "data",
        "data/a space\n/x": "data/a space\n",
    }


def test_a_workspace_of_a_divided_cell_is_as_quiet_as_another(divided: Path) -> None:
    before = describe(divided)
    with open_workspace(divided, job_id="job", backup_id=BACKUP_ID) as workspace:
        workspace.place("data")
        assert (divided / "data").stat().st_mtime_ns == before[b"data"].mtime

    assert differences(before, describe(divided)) == []


def test_what_a_settled_restore_left_on_a_disk_that_was_away_goes(bare: Path, archive: bytes, tmp_path: Path) -> None:
    with bound(tmp_path / "srv", bare / "data"):
        pass
    for name in ("staged/2", "undo/1", "undo/3/folder/file", "undo/mine"):
        write(tmp_path / "srv/.cell-backup-restore" / name, "left")

    with bound(tmp_path / "srv", bare / "data"):
        with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
            workspace.place("data")
            kept = sorted(path.relative_to(bare / "data") for path in (bare / "data").glob("*/*/*"))
            assert [str(path) for path in kept] == [".cell-backup-restore/undo/mine"]
        restore(bare, archive)
        assert (bare / "data/vault/key").read_text() == "new"
        assert sorted(path.name for path in (bare / "data").iterdir()) == ["deep", "linked", "vault"]


def test_one_folder_that_is_mounted_twice_is_one_place(bare: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "config/file")
    write(source / "data/a/one", "new")
    write(source / "data/b/two", "new")
    write(source / "data/b/three", "new")
    archive = save(source)
    with bound(tmp_path / "srv", bare / "data/a"), bound(tmp_path / "srv", bare / "data/b"):
        restore(bare, archive, overlay=LAYOUT.names)

        assert sorted(path.name for path in (tmp_path / "srv").iterdir()) == ["one", "three", "two"]
