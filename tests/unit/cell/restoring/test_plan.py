import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cell.quick import make_quick_archive
from app.cell.restoring.plan import plan_files
from tests.support.trees import AS_ROOT, describe, differences
from tests.unit.cell.restoring.support import LAYOUT, NOW, cell_part, changed, plan, restore, save, staged, zipped
from tests.unit.cell.support import write


def test_a_plan_changes_nothing(cell: Path, bare: Path) -> None:
    before = describe(bare)

    plan(bare, save(cell))

    assert differences(before, describe(bare)) == []


def test_a_plan_tells_files_to_create_to_replace_to_remove_and_to_leave(bare: Path) -> None:
    write(bare / "data/vault/lost", "four")
    write(bare / "data/vault/differs", "was longer")
    write(bare / "data/vault/same", "same")
    archive = save(bare)
    (bare / "data/vault/lost").unlink()
    write(bare / "data/vault/differs", "now")
    write(bare / "data/vault/late", "came after")

    (vault,) = [item for item in plan(bare, archive).summary() if item["name"] == "vault"]

    assert vault["create"] == {"files": 1, "folders": 0, "bytes": 4}
    assert vault["replace"] == {"files": 1, "folders": 1, "bytes": 10}
    assert vault["remove"] == {"files": 1, "folders": 0, "bytes": 10}
    assert vault["leave"] == {"files": 1, "folders": 0, "bytes": 4}
    assert vault["changes"] == [
        {"action": "remove", "path": "data/vault/late", "kind": "file", "bytes_now": 10},
        {"action": "replace", "path": "data/vault", "kind": "folder"},
        {"action": "replace", "path": "data/vault/differs", "kind": "file", "bytes": 10, "bytes_now": 3},
        {"action": "create", "path": "data/vault/lost", "kind": "file", "bytes": 4},
    ]
    assert vault["truncated"] is False


def test_a_long_plan_is_told_in_numbers_and_its_first_changes(cell: Path, bare: Path) -> None:
    whole, short = (plan(bare, save(cell)).summary(limit) for limit in (1000, 3))

    assert [len(item["changes"]) for item in short] == [min(3, len(item["changes"])) for item in whole]
    assert [item["create"] for item in short] == [item["create"] for item in whole]
    assert short[0]["truncated"]
    assert not whole[0]["truncated"]


def test_a_removal_is_named_however_much_else_changes(bare: Path) -> None:
    for number in range(20):
        write(bare / f"data/vault/{number:02}", "as it was")
    archive = save(bare)
    for number in range(20):
        write(bare / f"data/vault/{number:02}", "now")
    write(bare / "data/vault/late", "came after")

    (vault,) = [item for item in plan(bare, archive).summary(3) if item["name"] == "vault"]

    assert [change["action"] for change in vault["changes"]] == ["remove", "replace", "replace"]
    assert vault["changes"][0]["path"] == "data/vault/late"


def test_a_plan_counts_what_is_needed_and_what_is_replaced(bare: Path) -> None:
    write(bare / "data/a", "12345")
    archive = save(bare)
    write(bare / "data/a", "123")
    write(bare / "data/b", "1234567")

    made = plan(bare, archive)

    assert (made.bytes_needed, made.bytes_replaced) == (5, 10)
    assert made.components == ("rest",)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_text("other"), id="contents of the same size"),
        pytest.param(lambda path: path.write_text("longer than before"), id="size"),
        pytest.param(lambda path: path.chmod(0o600), id="mode"),
        pytest.param(lambda path: os.utime(path, ns=(0, 1_700_000_000_000_000_001)), id="time by a nanosecond"),
        pytest.param(lambda path: os.setxattr(path, "user.new", b"1"), id="one xattr more"),
        pytest.param(lambda path: os.removexattr(path, "user.old"), id="one xattr less"),
        pytest.param(lambda path: os.setxattr(path, "user.old", b"2"), id="another xattr"),
        pytest.param(
            lambda path: os.chown(path, 1234, 4321),
            id="owner",
            marks=pytest.mark.skipif(not AS_ROOT, reason="owners can be given by root only"),
        ),
    ],
)
def test_whatever_changed_of_a_file_is_brought_back(bare: Path, change: Callable[[Path], object]) -> None:
    path = write(bare / "data/file", "words")
    path.chmod(0o640)
    os.setxattr(path, "user.old", b"1")
    os.utime(path, ns=(0, 1_700_000_000_000_000_000))
    archive = save(bare)
    before = describe(bare)
    change(path)
    if path.stat().st_mtime_ns != 1_700_000_000_000_000_001:
        os.utime(path, ns=(0, 1_700_000_000_000_000_000))

    assert changed(restore(bare, archive)) == {"data/file": "replace"}
    assert differences(before, describe(bare)) == []


def folder(path: Path) -> None:
    write(path / "inside", "1")
    write(path / "deep/inside", "2")


def file(path: Path) -> None:
    write(path, "file")


def link(path: Path) -> None:
    path.symlink_to("nowhere")


def link_to_a_folder(path: Path) -> None:
    (path.parent / "beside").mkdir()
    path.symlink_to("beside")


@pytest.mark.parametrize("then", [folder, file, link])
@pytest.mark.parametrize("now", [folder, file, link, link_to_a_folder])
@pytest.mark.parametrize("where", ["data/services/x", "data/vault", "data/auth", "config/x"])
def test_a_path_becomes_what_it_was_whatever_stands_there_now(
    bare: Path, tmp_path: Path, where: str, now: Callable[[Path], None], then: Callable[[Path], None]
) -> None:
    other = tmp_path / "other"
    for root, make in ((bare, now), (other, then)):
        (root / where).parent.mkdir(parents=True, exist_ok=True)
        (root / "config").mkdir(exist_ok=True)
        make(root / where)

    restore(bare, save(other))

    assert differences(cell_part(other), cell_part(bare)) == []


def test_a_stale_zone_file_is_removed_and_kept_where_the_archive_is_laid_over_the_cell(cell: Path) -> None:
    archive = save(cell)
    stale = write(cell / "data/dns/old.zone")

    assert changed(plan(cell, archive, overlay=("web",))) == {"data/dns": "replace"}
    restore(cell, archive, overlay=["web"])
    assert stale.exists()

    assert changed(restore(cell, archive)) == {"data/dns/old.zone": "remove"}
    assert not stale.exists()


def test_a_stale_folder_goes_unless_something_in_it_stays(bare: Path) -> None:
    archive = save(bare)
    write(bare / "data/gone/deep/file")
    write(bare / "data/stays/file")
    write(bare / "data/stays/logs/today.txt")
    os.mkfifo(bare / "data/stays/fifo")

    restore(bare, archive)

    left = sorted(str(path.relative_to(bare)) for path in (bare / "data").rglob("*"))
    assert left == ["data/stays", "data/stays/fifo", "data/stays/logs", "data/stays/logs/today.txt"]


def test_names_that_are_no_text_come_back_and_go(bare: Path) -> None:
    odd = write(bare / "data/\udcff\n\\", "1")
    archive = save(bare)
    before = describe(bare)
    odd.unlink()
    late = write(bare / "data/\udcfe", "2")

    summary = restore(bare, archive).summary()[-1]

    assert differences(before, describe(bare), ignoring=["mtime"]) == []
    assert not late.exists()
    assert [change["path"] for change in summary["changes"]] == ["data/\\udcfe", "data", "data/\\udcff\\n\\"]


def test_names_of_one_file_in_several_components_stay_one_file(bare: Path) -> None:
    write(bare / "data/vault/a", "1")
    os.link(bare / "data/vault/a", bare / "data/caddy_")
    os.link(bare / "data/vault/a", bare / "config/c")
    archive = save(bare)
    (bare / "config/c").unlink()
    write(bare / "config/c", "another file")

    assert set(changed(restore(bare, archive))) >= {"data/vault/a", "data/caddy_", "config/c"}

    inodes = {(bare / path).stat().st_ino for path in ("data/vault/a", "data/caddy_", "config/c")}
    assert len(inodes) == 1
    assert changed(plan(bare, archive)) == {}


def test_files_that_were_apart_are_parted_again(bare: Path) -> None:
    for name in "ab":
        os.utime(write(bare / "data" / name, "same"), ns=(0, 5))
    archive = save(bare)
    (bare / "data/b").unlink()
    os.link(bare / "data/a", bare / "data/b")

    restore(bare, archive)

    assert (bare / "data/a").stat().st_ino != (bare / "data/b").stat().st_ino
    assert (bare / "data/a").stat().st_nlink == 1


def test_another_name_of_a_file_in_a_component_that_is_not_restored_comes_back_as_a_file(bare: Path) -> None:
    write(bare / "config/caddy/z", "1")
    (bare / "data/vault").mkdir()
    os.link(bare / "config/caddy/z", bare / "data/vault/a")
    archive = save(bare)
    (bare / "config/caddy/z").unlink()

    restore(bare, archive, chosen=["web"])

    assert (bare / "config/caddy/z").read_text() == "1"
    assert (bare / "data/vault/a").stat().st_nlink == 1
    assert changed(plan(bare, archive, chosen=("web",))) == {}


def test_what_another_program_packed_is_the_same_by_whole_seconds(cell: Path) -> None:
    names = ["config", "data", "Makefile", "docker-compose.yml"]
    command = ["tar", "-C", str(cell), "--exclude=logs", "--exclude=*.log", "--format=gnu", "-cz", *names]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    before = describe(cell)

    made = restore(cell, archive, whole=False)

    assert changed(made) == {}
    assert differences(before, describe(cell)) == []


def test_a_cells_own_quick_archive_removes_nothing_that_it_does_not_know(cell: Path) -> None:
    quick = make_quick_archive(cell, now=NOW)
    late = write(cell / "data/dns/old.zone")
    before = describe(cell)

    made = restore(cell, quick.path.read_bytes(), whole=False)

    assert changed(made) == {"data/dns": "replace", "data/dns/old.zone": "remove"}
    assert not late.exists()
    assert (cell / ".env").exists()
    assert differences(before, describe(cell), ignoring=["mtime"]) == ["b'data/dns/old.zone' is missing"]


def test_an_archive_without_a_header_removes_only_from_folders_that_it_has(cell: Path) -> None:
    command = ["tar", "-C", str(cell), "-cz", "data/dns", "data/vault/vault.key"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    late = [write(cell / path) for path in ("data/dns/old.zone", "data/dns/new/old.zone")]

    made = restore(cell, archive, whole=False)

    removed = {path for path, verb in changed(made).items() if verb == "remove"}
    assert removed == {"data/dns/old.zone", "data/dns/new/old.zone", "data/dns/new"}
    assert not [path for path in late if path.exists()]
    assert (cell / "data/vault/ca/ca.key").exists()


def test_folders_that_an_archive_has_no_members_for_are_made(bare: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("./data/deep/below/file")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))

    restore(bare, zipped(out.getvalue()), whole=False)

    assert (bare / "data/deep/below/file").read_text() == "x"
    assert (bare / "data/deep").stat().st_mode & 0o777 == 0o755


def test_members_that_belong_to_no_component_are_named_and_left_out(bare: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in ("config/a", "api/app.py", "data/logs/today.txt", "backups/x"):
        write(source / path)
    archive = subprocess.run(["tar", "-C", str(source), "-cz", "."], check=True, capture_output=True).stdout

    made = restore(bare, archive, whole=False)

    (warning,) = made.warnings
    assert warning.startswith("6 members of the archive are no part of this cell's layout")
    assert "backups/x" in warning
    assert sorted(path.name for path in bare.iterdir()) == ["config", "data"]
    assert not (bare / "data/logs").exists()


def test_backups_kept_inside_the_cell_are_neither_removed_nor_brought_back(bare: Path) -> None:
    inside = write(bare / "data/archives/one.tar.gz", "1").parent
    archive = save(bare)
    write(inside / "two.tar.gz", "2")
    write(inside / "one.tar.gz", "changed")

    with staged(bare, archive, leave_out=[inside]) as staging:
        assert changed(plan_files(staging, chosen=LAYOUT.names)) == {}
        assert "data/archives/one.tar.gz" in staging.ignored


def test_another_name_of_a_file_that_is_not_restored_stays_as_it_is(bare: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "api/app.py", "1")
    (source / "config").mkdir()
    os.link(source / "api/app.py", source / "config/app.py")
    archive = subprocess.run(["tar", "-C", str(source), "-cz", "api", "config"], check=True, capture_output=True).stdout
    write(bare / "config/app.py", "mine")

    made = restore(bare, archive, whole=False)

    assert (bare / "config/app.py").read_text() == "mine"
    assert any("config/app.py is another name" in warning for warning in made.warnings)


def test_a_link_that_is_the_same_stays_and_one_that_points_elsewhere_is_replaced(bare: Path) -> None:
    for name in ("same", "other"):
        (bare / "config" / name).symlink_to("target")
    archive = save(bare)
    inode = (bare / "config/same").lstat().st_ino
    (bare / "config/other").unlink()
    (bare / "config/other").symlink_to("elsewhere")

    assert changed(restore(bare, archive)) == {"config": "replace", "config/other": "replace"}
    assert (bare / "config/same").lstat().st_ino == inode
    assert (bare / "config/other").readlink() == Path("target")
