import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from app.cell.restoring.workspace import unfinished
from app.cell.sample import make_sample_cell
from tests.support.trees import AS_ROOT, EVERYTHING, build, describe, differences
from tests.unit.cell.restoring.support import cell_part, changed, restore, save, staged
from tests.unit.cell.support import write


def copy(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    return target


def test_an_unchanged_cell_is_not_changed_at_all(cell: Path) -> None:
    archive = save(cell)
    before = describe(cell)
    inodes = {path: path.lstat().st_ino for path in cell.rglob("*")}

    plan = restore(cell, archive)

    assert changed(plan) == {}
    assert plan.steps == ()
    assert differences(before, describe(cell)) == []
    assert inodes == {path: path.lstat().st_ino for path in cell.rglob("*")}


def test_a_lost_cell_comes_back_as_it_was(cell: Path, tmp_path: Path) -> None:
    archive = save(cell)
    before = cell_part(cell)
    empty = tmp_path / "new"
    empty.mkdir()

    restore(empty, archive)

    assert differences(before, cell_part(empty)) == []
    assert not (empty / ".cell-backup").exists()
    assert not (empty / "data/logs").exists()


def test_another_cell_becomes_equal_and_what_no_component_has_stays(cell: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_sample_cell(other)
    foreign = {path: path.read_bytes() for path in (other / "api/app.py", other / "data/logs/api.txt")}
    write(other / "data/dns/old.zone")

    restore(other, save(cell))

    assert differences(cell_part(cell), cell_part(other)) == []
    assert {path: path.read_bytes() for path in foreign} == foreign


def test_every_odd_file_comes_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "config").mkdir(parents=True)
    odd = source / "data/odd"
    odd.mkdir(parents=True)
    build(odd, EVERYTHING)
    for path in [*odd.glob("links/to-*"), *odd.glob("links/hard/twin*")]:
        path.unlink()  # no archive of a cell has links out of it, or one link with two names
    shutil.rmtree(next((odd / "long").glob("00d*")))  # longer than a system call takes, which no backup reads
    for path in (odd / "fifo", odd / "char", odd / "block"):
        path.unlink(missing_ok=True)
    target = tmp_path / "target"
    target.mkdir()

    restore(target, save(source))

    assert differences(describe(odd), describe(target / "data/odd"), ignoring=["map"]) == []


def test_files_that_are_the_same_keep_their_inode(cell: Path) -> None:
    archive = save(cell)
    kept, lost = cell / "data/vault/vault.key", cell / "data/wireguard/server.pub"
    inode = kept.stat().st_ino
    lost.write_text("changed")

    plan = restore(cell, archive)

    assert changed(plan) == {"data/wireguard/server.pub": "replace"}
    assert kept.stat().st_ino == inode


def test_one_component_alone_is_restored(cell: Path) -> None:
    archive = save(cell)
    shutil.rmtree(cell / "data")
    (cell / "data").mkdir()

    restore(cell, archive, chosen=["vault"])

    assert sorted(path.name for path in (cell / "data").iterdir()) == ["vault"]
    assert stat.S_IMODE((cell / "data/vault").stat().st_mode) == 0o700


def test_a_restored_root_keeps_its_time_unless_its_own_entries_change(cell: Path) -> None:
    archive = save(cell)
    os.utime(cell, ns=(5, 123456789))
    (cell / "data/vault/vault.key").unlink()

    restore(cell, archive)

    assert (cell / "data/vault/vault.key").exists()
    assert cell.stat().st_mtime_ns == 123456789


def test_a_restore_that_is_rolled_back_leaves_everything_as_it_was(cell: Path, tmp_path: Path) -> None:
    from app.cell.restoring.plan import plan_files
    from app.cell.restoring.swap import Swap
    from tests.unit.cell.restoring.support import LAYOUT

    other = tmp_path / "other"
    make_sample_cell(other)
    before = describe(other)
    with staged(other, save(cell)) as staging:
        plan = plan_files(staging, chosen=LAYOUT.names)
        swap = Swap(staging.workspace, plan)
        swap.prepare()
        for name in plan.chosen:
            swap.apply(name)
        swap.finish_folders()
        assert differences(cell_part(cell), cell_part(other)) == []
        assert swap.roll_back() == ()

    assert differences(before, describe(other)) == []
    with unfinished(other) as left:
        assert left is None


@pytest.mark.skipif(not AS_ROOT, reason="owners can be given by root only")
def test_owners_come_back(cell: Path) -> None:
    os.chown(cell / "data/peers.json", 1234, 4321)
    archive = save(cell)
    os.chown(cell / "data/peers.json", 0, 0)

    assert changed(restore(cell, archive)) == {"data/peers.json": "replace"}
    status = (cell / "data/peers.json").stat()
    assert (status.st_uid, status.st_gid) == (1234, 4321)
