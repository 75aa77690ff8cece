"""Quick archives, ours and those of a cell's own `make backup`, dropped into the backup directory and restored."""

import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.restoring import restore, saved
from tests.support.service import Place, running_service
from tests.support.trees import Tree, describe, differences

NAME = "cell-backup-20261101-020000"
_WANTED = ("config", "data", "docker-compose.yml", "Makefile")


def by_our_command(place: Place) -> None:
    done = place.cli("quick", "--cell-root", place.cell)
    assert done.returncode == 0, done.stderr
    (made,) = (path for path in (place.cell / "backups").glob("*.tar.gz") if "20260101" not in path.name)
    made.rename(place.backups / f"{NAME}.tar.gz")


def by_tar(place: Place, *names: str) -> None:
    archive = place.backups / f"{NAME}.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", place.cell, *names], check=True)
    archive.chmod(0o600)


def by_make_backup(place: Place) -> None:
    by_tar(place, "--exclude=data/logs", "--exclude=config_backups", *_WANTED)


def by_tar_with_everything(place: Place) -> None:
    by_tar(place, "--exclude=./backups", ".")


def in_gnu_format(place: Place) -> None:
    by_tar(place, "--format=gnu", "--sparse", *_WANTED)


def without_env(tree: Tree) -> Tree:
    return {path: facts for path, facts in tree.items() if path != b".env"}


def in_whole_seconds(tree: Tree) -> Tree:
    """Forget what tar does not keep unless it is told to."""
    second = 10**9
    return {path: replace(facts, mtime=facts.mtime // second * second, map=()) for path, facts in tree.items()}


def without_times_of_folders(tree: Tree) -> Tree:
    """Forget what a restore of some components changes in folders that belong to others."""
    return {path: replace(facts, mtime=0) if stat.S_ISDIR(facts.kind) else facts for path, facts in tree.items()}


def change(cell: Path) -> None:
    """Let happen to a cell what happens to cells."""
    (cell / "config/api/cell_config.json").write_text('{"cell_name": "broken"}')
    (cell / "data/dns/older.zone").write_text("came after the backup")
    (cell / ".env").write_text("NEW=1\n")
    (cell / "data/vault/vault.key").chmod(0o644)
    (cell / "data/services/mail/accounts.json").unlink()
    (cell / "Makefile").unlink()
    shutil.rmtree(cell / "data/wireguard")


@pytest.mark.parametrize("make", [by_our_command, by_make_backup, in_gnu_format])
def test_a_quick_archive_brings_back_what_it_has_and_leaves_what_it_has_not(
    place: Place, make: Callable[[Place], None]
) -> None:
    place.backups.mkdir(mode=0o700)
    make(place)
    before = saved(describe(place.cell))
    change(place.cell)
    with running_service(place) as service:
        job = restore(service, NAME, regenerate="off")

    assert job["state"] == "succeeded", job
    after = saved(describe(place.cell))
    if make is not by_our_command:
        before, after = in_whole_seconds(before), in_whole_seconds(after)
    assert differences(without_env(before), without_env(after), ignoring=["map"]) == []
    assert (place.cell / ".env").read_text() == "NEW=1\n"


def test_an_archive_of_the_whole_folder_restores_on_a_bare_machine(place: Place) -> None:
    place.backups.mkdir(mode=0o700)
    by_tar_with_everything(place)
    before = saved(describe(place.cell))
    shutil.rmtree(place.cell)
    place.cell.mkdir()
    with running_service(place) as service:
        job = restore(service, NAME, regenerate="off")

    assert job["state"] == "succeeded", job
    assert differences(in_whole_seconds(before), in_whole_seconds(saved(describe(place.cell)))) == []


def test_the_safety_archive_of_such_a_restore_brings_the_changed_cell_back(place: Place) -> None:
    place.backups.mkdir(mode=0o700)
    by_make_backup(place)
    change(place.cell)
    changed = saved(describe(place.cell))
    with running_service(place) as service:
        job = restore(service, NAME, regenerate="off")
        assert differences(changed, saved(describe(place.cell))) != []
        safety_id = job["result"]["safety_backup_id"]
        assert service.get(f"/api/config/backups/{safety_id}")["label"] == "before-restore"
        assert restore(service, safety_id, regenerate="off")["state"] == "succeeded"

    back = saved(describe(place.cell))
    assert differences(without_times_of_folders(changed), without_times_of_folders(back), ignoring=["map"]) == []
