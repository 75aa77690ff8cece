"""The demo says that all is as before only where it is."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cell.sample import make_sample_cell
from app.demo.disaster import Disaster
from app.demo.screen import Screen
from app.demo.snapshot import differences, snapshot_of_files
from app.errors import JobError


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    make_sample_cell(tmp_path / "cell")
    return tmp_path / "cell"


def missing(cell: Path) -> None:
    (cell / "data/vault/vault.key").unlink()


def new(cell: Path) -> None:
    (cell / "data/vault/another").touch()


def another_content(cell: Path) -> None:
    file = cell / "data/vault/vault.key"
    status = file.stat()
    file.write_bytes(b"x" * status.st_size)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def another_mode(cell: Path) -> None:
    (cell / "data/vault").chmod(0o755)


def another_time(cell: Path) -> None:
    file = cell / ".env"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))


def another_target(cell: Path) -> None:
    link = cell / "config/caddy/current"
    times = (0, link.lstat().st_mtime_ns)
    folder = link.parent.stat()
    link.unlink()
    link.symlink_to("Elsewhere")
    os.utime(link, ns=times, follow_symlinks=False)
    os.utime(link.parent, ns=(0, folder.st_mtime_ns))


def another_inode(cell: Path) -> None:
    twin = cell / "data/caddy/internal.crt"
    content, status, folder = twin.read_bytes(), twin.stat(), twin.parent.stat()
    twin.unlink()
    twin.write_bytes(content)
    twin.chmod(status.st_mode & 0o7777)
    os.utime(twin, ns=(0, status.st_mtime_ns))
    os.utime(twin.parent, ns=(0, folder.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (missing, r"data/vault/vault\.key is missing"),
        (new, "data/vault/another is new"),
        (another_content, r"data/vault/vault\.key has another digest"),
        (another_mode, "data/vault has another mode"),
        (another_time, r"\.env has another mtime"),
        (another_target, "config/caddy/current has another target"),
        (another_inode, r"has another same_as"),
    ],
)
def test_what_is_not_as_before_is_named(cell: Path, change: Callable[[Path], None], says: str) -> None:
    disaster = Disaster(Screen(), cell, [], None)
    before = disaster.look()
    change(cell)

    with pytest.raises(JobError, match=says):
        disaster.compare(before)


def test_what_a_backup_leaves_out_may_be_missing(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disaster = Disaster(Screen(), cell, [], None)
    before = disaster.look()
    (cell / "data/caddy/access.log").unlink()
    os.utime(cell / "data/caddy", ns=(0, before.files["data/caddy"].mtime))

    disaster.compare(before)

    assert "are as they were" in capsys.readouterr().out


def test_the_disaster_leaves_nothing(cell: Path) -> None:
    Disaster(Screen(), cell, [], None).strike()

    assert list(cell.iterdir()) == []


def test_of_many_differences_the_first_are_named(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / str(number)).touch()

    named = differences(snapshot_of_files(tmp_path), {})

    assert named[0] == "0 is missing"
    assert named[-1] == "and 4 more"
