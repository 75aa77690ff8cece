import errno
import gzip
import os
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.archive.files import Entry, FileMembers
from app.cell.quick import make_quick_archive
from app.cell.sample import make_sample_cell
from app.errors import Code, InputError, JobError, PartError
from tests.unit.cell.support import closed, write

NOW = datetime(2026, 3, 1, 2, 30, 15, tzinfo=UTC)


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    root = tmp_path / "cell"
    make_sample_cell(root)
    return root


def listing(archive: Path) -> set[str]:
    done = subprocess.run(["tar", "-tzf", archive], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return {name.rstrip("/") for name in done.stdout.splitlines()}


def unpack(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["tar", "-xpzf", archive, "-C", folder], check=True)
    return folder


def expected_by_gnu_tar(root: Path) -> set[str]:
    """Say what a cell's own `make backup` takes, by GNU tar's means."""
    out = ["--exclude=logs", "--exclude=*.log", "--exclude=config_backups"]
    names = ["config", "data", "docker-compose.yml", "Makefile"]
    done = subprocess.run(
        ["tar", "-C", root, *out, "--quoting-style=literal", "-cvf", "/dev/null", *names],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {name.rstrip("/") for name in done.stdout.splitlines()}


def facts(root: Path, path: str) -> tuple[object, ...]:
    found = (root / path).lstat()
    size = found.st_size if stat.S_ISREG(found.st_mode) else 0
    return found.st_mode, found.st_uid, found.st_gid, size, found.st_mtime_ns


def leftovers(root: Path) -> list[str]:
    return sorted(
        path.name for path in (root / "backups").iterdir() if path.name != "cell-backup-20260101-020000.tar.gz"
    )


def test_it_holds_exactly_what_make_backup_saves(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    (cell / "data/notes/Grüße an alle.txt").rename(cell / "data/notes/all.txt")

    archive = make_quick_archive(cell, now=NOW)

    assert archive.path == cell / "backups/cell-backup-20260301-023015.tar.gz"
    assert listing(archive.path) == expected_by_gnu_tar(cell)
    assert ".env" not in listing(archive.path)
    assert archive.warnings == ()


def test_it_is_for_its_owner_only_and_so_is_a_folder_made_for_it(cell: Path) -> None:
    (cell / "backups").rename(cell / "elsewhere")

    archive = make_quick_archive(cell, now=NOW)

    assert stat.S_IMODE(archive.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(archive.path.parent.stat().st_mode) == 0o700


def test_unpacked_by_gnu_tar_it_gives_the_same_files_back(cell: Path, tmp_path: Path) -> None:
    os.utime(cell / "data/vault", ns=(1, 1_700_000_000_123_456_789))
    (cell / "data/peers.json").chmod(0o4750)
    write(Path(os.fsdecode(os.fsencode(cell / "data") + b"/-\xff\n")), "odd")

    archive = make_quick_archive(cell, now=NOW)
    back = unpack(archive.path, tmp_path / "back")

    saved = sorted(str(path.relative_to(back)) for path in back.rglob("*"))
    assert {os.fsdecode(b"data/-\xff\n"), "data/services/mail/outbox", "config/caddy/current"} <= set(saved)
    assert [facts(back, path) for path in saved] == [facts(cell, path) for path in saved]
    regular = [path for path in saved if (back / path).is_file()]
    assert [(back / path).read_bytes() for path in regular] == [(cell / path).read_bytes() for path in regular]
    assert (back / "data/caddy/internal.crt").samefile(back / "data/vault/certs/home.cell.crt")


def test_a_second_one_in_the_same_second_gets_the_next_free_name(cell: Path) -> None:
    first, second = (make_quick_archive(cell, now=NOW).path for _ in range(2))

    assert (first.name, second.name) == (
        "cell-backup-20260301-023015.tar.gz",
        "cell-backup-20260301-023016.tar.gz",
    )
    assert listing(first) == listing(second)


def test_a_file_that_has_the_name_already_is_never_replaced(cell: Path) -> None:
    for seconds in range(60):
        write(cell / f"backups/cell-backup-{NOW + timedelta(seconds=seconds):%Y%m%d-%H%M%S}.tar.gz", "mine")

    with pytest.raises(JobError) as caught:
        make_quick_archive(cell, now=NOW)

    assert caught.value.code == Code.WRITE_FAILED
    assert {path.read_bytes() for path in (cell / "backups").glob("*-20260301-*")} == {b"mine"}
    assert len(leftovers(cell)) == 60


def test_its_name_is_in_utc_whatever_the_host_s_clock_shows(cell: Path) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5)))

    assert make_quick_archive(cell, now=local).path.name == "cell-backup-20260301-023015.tar.gz"


def test_archives_and_state_inside_data_are_not_in_it(cell: Path) -> None:
    write(cell / "data/state/api-token")
    (cell / "backups").rename(cell / "data/backups")
    (cell / "backups").symlink_to("data/backups")

    archive = make_quick_archive(cell, now=NOW, leave_out=[cell / "data/state"])

    assert not [name for name in listing(archive.path) if name.startswith(("data/state", "data/backups"))]


@pytest.mark.parametrize("path", ["data/peers.json", "data/auth"])
def test_what_cannot_be_read_fails_it_and_leaves_nothing(cell: Path, path: str) -> None:
    with closed(cell / path), pytest.raises(PartError) as caught:
        make_quick_archive(cell, now=NOW)

    assert caught.value.code == Code.FILE_UNREADABLE
    assert path in caught.value.message
    assert leftovers(cell) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), SystemExit(1)])
def test_nothing_is_left_behind_when_it_is_cut_off(
    cell: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    seen: list[list[str]] = []

    def cut_off(_: FileMembers, __: Entry) -> None:
        seen.append(leftovers(cell))
        raise error

    monkeypatch.setattr(FileMembers, "add", cut_off)
    with pytest.raises(type(error)):
        make_quick_archive(cell, now=NOW)

    assert [name.endswith(".partial") and name.startswith(".") for name in seen[0]] == [True]
    assert leftovers(cell) == []


@pytest.mark.parametrize(
    ("is_kind", "number", "code"),
    [(stat.S_ISREG, errno.ENOSPC, Code.DISK_FULL), (stat.S_ISDIR, errno.EIO, Code.WRITE_FAILED)],
)
def test_an_archive_that_cannot_be_made_durable_is_not_shown(
    cell: Path, monkeypatch: pytest.MonkeyPatch, is_kind: Callable[[int], bool], number: int, code: Code
) -> None:
    real = os.fsync

    def fails_for_one_kind(descriptor: int) -> None:
        if is_kind(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fails_for_one_kind)
    with pytest.raises(JobError) as caught:
        make_quick_archive(cell, now=NOW)

    assert caught.value.code == code
    assert leftovers(cell) == []


def test_it_ends_as_a_whole_tar_does(cell: Path) -> None:
    plain = gzip.decompress(make_quick_archive(cell, now=NOW).path.read_bytes())

    assert len(plain) % 512 == 0
    assert plain.endswith(bytes(1024))


def test_a_folder_that_is_no_cell_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        make_quick_archive(tmp_path, now=NOW)

    assert list(tmp_path.iterdir()) == []


def test_a_socket_is_named_and_left_out(cell: Path) -> None:
    os.mkfifo(cell / "data/pipe")

    assert make_quick_archive(cell, now=NOW).warnings == ("data/pipe: a FIFO, left out.",)
