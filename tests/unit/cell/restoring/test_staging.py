import io
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from app.archive.headers import DIRECTORY, END_OF_ARCHIVE, HARD_LINK, SYMLINK, Member, encode, padding
from app.archive.receiving import Receiver
from app.archive.verify import verify
from app.cell.restoring.plan import plan_files
from app.cell.restoring.staging import Staging
from app.cell.restoring.workspace import open_workspace
from app.errors import ArchiveError, Code, JobError
from tests.faults.disks import small_disk
from tests.support.trees import AS_ROOT, describe, differences, ordinary_user, write_sparse
from tests.unit.cell.restoring.support import BACKUP_ID, LAYOUT, changed, restore, save, staged, swap_in, zipped
from tests.unit.cell.support import write

ACL = b"user::rw-\nuser:1234:r--\ngroup::r--\nmask::r--\nother::---\n"


def archive_of(*members: tuple[Member, bytes]) -> bytes:
    tar = b"".join(encode(member) + content + bytes(padding(len(content))) for member, content in members)
    return zipped(tar + END_OF_ARCHIVE)


def test_it_is_a_receiver(bare: Path) -> None:
    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
        receiver: Receiver = Staging(workspace, LAYOUT)
        assert receiver.take(Member(b"./", DIRECTORY)) is None


def test_holes_stay_holes(bare: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    wanted = write_sparse(source / "data/sparse", 8 << 20, [(4096, b"x" * 4096), (6 << 20, b"y")])
    archive = subprocess.run(["tar", "-C", str(source), "-Scz", "data"], check=True, capture_output=True).stdout

    restore(bare, archive, whole=False)

    assert (bare / "data/sparse").read_bytes() == wanted.read_bytes()
    assert (bare / "data/sparse").stat().st_blocks * 512 < 1 << 20


def test_acls_that_stand_as_text_only_come_back(bare: Path) -> None:
    member = Member(b"data/acl", size=1, mode=0o640, records={b"SCHILY.acl.access": ACL})
    archive = archive_of((member, b"x"))

    restore(bare, archive, whole=False)

    assert os.getxattr(bare / "data/acl", "system.posix_acl_access")[:4] == b"\2\0\0\0"
    assert changed(restore(bare, archive, whole=False)) == {}


@pytest.mark.parametrize("kind", [b"data/gone", b"data/acl"])
def test_an_acl_is_not_inherited_from_where_a_file_is_staged(bare: Path, kind: bytes) -> None:
    restore(bare, archive_of((Member(b"data/acl", size=1, records={b"SCHILY.acl.access": ACL}), b"x")), whole=False)
    os.setxattr(bare, "system.posix_acl_default", os.getxattr(bare / "data/acl", "system.posix_acl_access"))

    restore(bare, archive_of((Member(kind, size=1, mode=0o640), b"y")), whole=False)

    assert "system.posix_acl_access" not in os.listxattr(bare / os.fsdecode(kind))


@pytest.mark.parametrize(
    "path", [b"../x", b"/etc/x", b"data/../../x", b"config/\0"], ids=["above", "absolute", "detour", "nul"]
)
def test_a_path_that_is_none_inside_the_cell_is_refused_here_too(bare: Path, path: bytes) -> None:
    with staged(bare, save(bare)) as staging, pytest.raises(ArchiveError) as caught:
        staging.take(Member(path))

    assert caught.value.code is Code.ARCHIVE_HOSTILE


def test_a_path_that_is_there_twice_is_refused_here_too(bare: Path) -> None:
    with staged(bare, save(bare)) as staging:
        staging.take(Member(b"data/link", SYMLINK, link=b"x"))
        with pytest.raises(ArchiveError) as caught:
            staging.take(Member(b"data/link", SYMLINK, link=b"y"))

    assert caught.value.code is Code.ARCHIVE_HOSTILE


def test_a_file_that_ends_early_is_let_go(bare: Path) -> None:
    whole = save(write(bare / "data/file", os.urandom(1 << 20)).parents[1])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as it is

    with pytest.raises(ArchiveError), staged(bare, whole[: len(whole) // 2]):
        pass

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert not (bare / ".cell-backup").exists()


def test_a_damaged_file_is_taken_as_it_is_and_told(bare: Path) -> None:
    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
        staging = Staging(workspace, LAYOUT)
        taking = staging.take(Member(b"data/file", size=10))
        assert taking is not None
        taking.write(2, memoryview(b"xy"))
        taking.damaged()
        made = plan_files(staging, chosen=LAYOUT.names, overlay=LAYOUT.names)
        swap_in(workspace, made)

    assert staging.warnings == ["data/file is damaged in the archive."]
    assert made.contents["rest"] == (0, 4)  # as a manifest counts it
    assert (bare / "data/file").read_bytes() == b"\0\0xy"


def test_a_restore_by_an_ordinary_user_keeps_all_but_owners_and_says_so(bare: Path) -> None:
    if not AS_ROOT:
        pytest.skip("needs two users")
    path = write(bare / "data/file", "1")
    path.chmod(0o4755)
    archive = save(bare)
    with tempfile.TemporaryDirectory() as name, ordinary_user(mine := Path(name)):
        plan = restore(mine, archive)
        again = restore(mine, archive)
        status = (mine / "data/file").stat()

    assert plan.warnings == ("Owners are not kept, because the service does not run as root.",)
    assert changed(again) == {}
    assert (status.st_uid, status.st_mode & 0o7777) == (65534, 0o755)
    assert status.st_mtime_ns == path.stat().st_mtime_ns


@pytest.mark.skipif(not AS_ROOT, reason="needs the right to mount")
def test_a_restore_ends_before_the_disk_is_full(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "config/big", bytes(48 << 20))
    archive = save(source)
    with small_disk(tmp_path / "disk", 100 << 20) as disk:
        (disk / "config").mkdir()
        before = describe(disk)
        with pytest.raises(JobError) as caught, staged(disk, archive):
            pass
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize

        assert caught.value.code is Code.SPACE_MISSING
        assert "a restore leaves 67108864 free" in caught.value.message
        assert free > 99 << 20
        assert differences(before, describe(disk)) == []


@pytest.mark.skipif(not AS_ROOT, reason="needs the right to mount")
def test_what_a_file_system_does_not_keep_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    os.setxattr(write(source / "config/file"), "user.large", bytes(3000))
    archive = save(source)
    with small_disk(tmp_path / "disk", 100 << 20) as disk:
        (disk / "config").mkdir()
        if "user.large" in os.listxattr(write(tmp_path / "disk/probe")):
            raise AssertionError
        try:
            os.setxattr(disk / "probe", "user.probe", b"1")
        except OSError:
            plan = restore(disk, archive)
            assert plan.warnings == ("config/file loses user.large, which were refused.",)
        else:
            plan = restore(disk, archive)
            assert plan.warnings == ()
        assert set(changed(restore(disk, archive))) == set()


def test_many_warnings_are_bounded(bare: Path) -> None:
    links = [(Member(b"config/link-%d" % number, HARD_LINK, link=b"api/app.py"), b"") for number in range(150)]
    archive = archive_of((Member(b"api/app.py", size=1), b"x"), *links)
    with open_workspace(bare, job_id="job", backup_id=BACKUP_ID) as workspace:
        staging = Staging(workspace, LAYOUT)
        verify(io.BytesIO(archive), data_key=None, receiver=staging)

    assert len(staging.warnings) == 100
    assert len(staging.tree.kept) == 150
