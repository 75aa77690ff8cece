"""A restore that dies at any instant, and its recovery too, ends in the old state or in the new one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cell.sample import make_sample_cell
from tests.unit.cell.restoring.support import save
from tests.unit.cell.support import write


def kill(what: str, old: Path, archive: bytes, scratch: Path) -> dict[str, int]:
    (scratch / "archive").write_bytes(archive)
    program = "tests.unit.cell.restoring.killing"
    command = [sys.executable, "-m", program, what, str(old), str(scratch / "archive"), str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


def small_cell(root: Path) -> Path:
    """Make a cell with one of everything that a restore has to change, or to leave."""
    write(root / "config/api/cell_config.json", "{}")
    write(root / "config/caddy/Caddyfile", "old")
    write(root / "config/dns/stale.zone", "doubles records")
    write(root / "config/dns/stale folder/below/deep.zone", "goes with its folders")
    write(root / "config/same/same", "same")
    write(root / "data/vault/vault.key", "old key").chmod(0o600)
    os.link(root / "data/vault/vault.key", root / "data/vault/twin")
    write(root / "data/was-folder/inside", "1")
    write(root / "data/was-folder/deep/inside", "2")
    write(root / "data/was-file", "3")
    (root / "data/was-link").symlink_to("was-file")
    write(root / "data/empty-name-\udcff", "4")
    write(root / "data/logs/kept.txt", "5")
    write(root / ".env", "A=1")
    os.setxattr(root / "data/was-file", "user.note", b"old")
    return root


def other_cell(root: Path) -> Path:
    """Make the cell that the small one is to become."""
    write(root / "config/api/cell_config.json", '{"cell_name": "other"}')
    write(root / "config/caddy/Caddyfile", "new")
    write(root / "config/dns/cell.zone", "new")
    write(root / "config/same/same", "same")
    write(root / "data/vault/vault.key", "new key").chmod(0o640)
    write(root / "data/was-folder", "a file now")
    write(root / "data/was-file/inside", "a folder now").chmod(0o600)
    os.setxattr(root / "data/was-file", "user.note", b"new")
    write(root / "data/was-link/inside/deep", "a folder now")
    write(root / "data/caddy/internal.crt", "linked")
    os.link(root / "data/caddy/internal.crt", root / "data/vault/internal.crt")
    (root / "data/link").symlink_to("vault/vault.key")
    write(root / ".env", "A=2").chmod(0o600)
    (root / "data/vault").chmod(0o700)
    for number, path in enumerate([root / "config/same/same", *root.rglob("*")]):
        os.utime(path, ns=(0, 1_700_000_000_123_456_789 + number), follow_symlinks=False)
    return root


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def test_killed_at_any_journal_note_a_restored_sample_cell_is_the_old_or_the_new_one(
    cell: Path, tmp_path: Path, scratch: Path
) -> None:
    other = tmp_path / "other"
    make_sample_cell(other)
    write(cell / "data/dns/stale.zone")

    counted = kill("notes", cell, save(other), scratch)

    assert counted == {"kills": 10, "old": 9, "new": 1}


@pytest.mark.parametrize("how", ["calls", "renames"])
def test_killed_at_any_call_a_restored_cell_is_the_old_or_the_new_one(tmp_path: Path, scratch: Path, how: str) -> None:
    counted = kill(how, small_cell(tmp_path / "old"), save(other_cell(tmp_path / "other")), scratch)

    assert counted["kills"] == counted["old"] + counted["new"]
    assert counted["kills"] > 100
    assert counted["new"] > 10
    # killed right between making or removing its folder in the root, and putting the root's time back
    assert counted["lost time of the root"] <= 2


def test_killed_again_while_it_is_put_back_or_finished_it_is_the_old_or_the_new_one(
    tmp_path: Path, scratch: Path
) -> None:
    counted = kill("recovery", small_cell(tmp_path / "old"), save(other_cell(tmp_path / "other")), scratch)

    assert counted["old"] > 40
    assert counted["new"] > 10
    assert counted.get("lost time of the root", 0) <= 2
