"""A generated file gets into its place whole, with the owner and mode of what was there."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.cell.generated.placing import keep, place
from app.cell.generated.templates import FIRST_LINE
from app.errors import Code, PartError

NAME = "config/caddy/Caddyfile"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def old(bare: Path) -> Path:
    path = bare / NAME
    path.parent.mkdir()
    path.write_text("made by the operator\n")
    return path


@as_root
def test_owner_and_mode_stay_those_of_the_file_that_was_there(bare: Path, old: Path, tmp_path: Path) -> None:
    old.chmod(0o640)
    os.chown(old, 1234, 4321)

    assert place(bare, NAME, FIRST_LINE, tmp_path / "kept")
    status = old.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 4321, 0o640)
    assert old.read_text() == FIRST_LINE


@as_root
def test_a_new_file_and_new_folders_belong_to_whom_the_folder_belongs_to(bare: Path, tmp_path: Path) -> None:
    os.chown(bare / "config", 1234, 4321)

    assert place(bare, NAME, FIRST_LINE, tmp_path / "kept")
    for path in (bare / NAME, (bare / NAME).parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)
    assert stat.S_IMODE((bare / NAME).stat().st_mode) == 0o644
    assert not (tmp_path / "kept").exists()


def test_a_file_that_says_so_already_is_left_alone(bare: Path, old: Path, tmp_path: Path) -> None:
    old.write_text(FIRST_LINE)
    before = old.stat()

    assert not place(bare, NAME, FIRST_LINE, tmp_path / "kept")
    assert (old.stat().st_ino, old.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_somebody_wrote_is_kept_and_not_lost_to_what_was_generated(bare: Path, old: Path, tmp_path: Path) -> None:
    kept = tmp_path / "state/replaced/Caddyfile"
    place(bare, NAME, FIRST_LINE + "one\n", kept)
    place(bare, NAME, FIRST_LINE + "two\n", kept)

    assert kept.read_text() == "made by the operator\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert old.read_text() == FIRST_LINE + "two\n"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_no_link_is_followed_out_of_the_cell(bare: Path, old: Path, tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "Caddyfile").write_text("of somebody else\n")
    old.unlink()
    if what == "file":
        old.symlink_to(outside / "Caddyfile")
    else:
        old.parent.rmdir()
        old.parent.symlink_to(outside)

    with pytest.raises(PartError) as raised:
        place(bare, NAME, FIRST_LINE, tmp_path / "kept")
    assert raised.value.code is Code.SWAP_FAILED
    assert (outside / "Caddyfile").read_text() == "of somebody else\n"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_file_is_not_replaced(bare: Path, old: Path, tmp_path: Path, make: object) -> None:
    old.unlink()
    assert callable(make)
    make(old)

    with pytest.raises(PartError, match="cannot be replaced"):
        place(bare, NAME, FIRST_LINE, tmp_path / "kept")


def test_nothing_is_left_beside_a_file_that_could_not_be_written(
    bare: Path, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    old.write_text(FIRST_LINE + "old\n")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PartError, match="No space left"):
        place(bare, NAME, FIRST_LINE, tmp_path / "kept")
    assert [item.name for item in old.parent.iterdir()] == ["Caddyfile"]
    assert old.read_text() == FIRST_LINE + "old\n"


def test_a_note_replaces_an_older_one(tmp_path: Path) -> None:
    keep(tmp_path / "a/b", b"one")
    keep(tmp_path / "a/b", b"two")

    assert (tmp_path / "a/b").read_bytes() == b"two"
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["b"]


def test_what_a_process_left_that_died_on_the_way_is_gone_after_the_next_one(
    bare: Path, old: Path, tmp_path: Path
) -> None:
    dying = "import os, sys; from pathlib import Path; from app.cell.generated.placing import place"
    dying += "; os.replace = lambda *_, **__: os._exit(7)"  # it dies just before that
    dying += "; place(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))"
    arguments: list[str | Path] = [bare, NAME, FIRST_LINE, tmp_path / "kept"]
    assert subprocess.run([sys.executable, "-c", dying, *arguments], check=False).returncode == 7

    assert place(bare, NAME, FIRST_LINE, tmp_path / "kept")
    assert [path.name for path in old.parent.iterdir()] == ["Caddyfile"]
    assert [path.name for path in tmp_path.iterdir() if path != bare] == ["kept"]
