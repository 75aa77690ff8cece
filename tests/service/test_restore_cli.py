"""`cell-backup restore`: a cell comes back on a machine that has nothing but the archive and the passphrase."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.restoring import COMPONENTS, PASSPHRASE, STAGES, held_by_backups
from tests.service.alone import Archives, Machine, make_archives, make_changed_cell
from tests.service.terminal import answer_on_terminal
from tests.support.service import CLI
from tests.support.trees import Tree, describe, differences

# the n-th time that something is noted, this happens; the note is durable then
AT_NOTE = """
note = Journal.note
def noted(self, kind, **facts):
    note(self, kind, **facts)
    if (kind, facts.get("name", "")) == {at!r}:
        os.kill(os.getpid(), signal.{what})
Journal.note = noted
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return make_archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    return path


def assert_came_back(machine: Machine, archives: Archives) -> None:
    found = differences(held_by_backups(archives.tree), held_by_backups(describe(machine.cell)))
    assert not found, found


def assert_same(machine: Machine, before: Tree) -> None:
    found = differences(before, describe(machine.cell))
    assert not found, found


def test_files_come_back_and_volumes_are_named(machine: Machine, archives: Archives) -> None:
    done = machine.restore(archives.full)
    assert done.returncode == 3, done
    assert_came_back(machine, archives)
    assert "vault: succeeded, 2 files" in done.stdout
    assert "mail/mailboxes: skipped" in done.stdout
    assert "partial" in done.stdout
    assert "make restart" in done.stdout
    next_call = f"cell-backup restore {archives.full} --cell-root {machine.cell} --components '' --services"
    assert done.stdout.splitlines()[-1].strip().startswith(next_call)


@pytest.mark.parametrize("options", [("--services", ""), ("--dry-run",)])
def test_no_volumes_are_announced_where_none_are_to_come(
    machine: Machine, archives: Archives, options: Sequence[str]
) -> None:
    machine.cell.mkdir()
    assert "once the containers run" not in machine.restore(archives.full, *options).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
@pytest.mark.parametrize(("made_before", "owner"), [("", (1000, 1001)), ("cell", (0, 0))])
def test_a_folder_made_for_the_cell_is_its_owners(
    machine: Machine, tmp_path: Path, made_before: str, owner: tuple[int, int]
) -> None:
    archive = tmp_path / "cell.tar.gz"
    (tmp_path / "other/config").mkdir(parents=True)
    (tmp_path / "other/config/any").write_text("kept")
    subprocess.run(
        ["tar", "--owner=1000", "--group=1001", "-czf", archive, "-C", tmp_path / "other", "config"], check=True
    )
    (tmp_path / made_before).mkdir(exist_ok=True)
    assert machine.restore(archive).returncode == 0
    facts = machine.cell.stat()
    assert (facts.st_uid, facts.st_gid) == owner


def test_an_archive_without_services_is_whole(machine: Machine, archives: Archives) -> None:
    done = machine.restore(archives.files)
    assert done.returncode == 0, done
    assert_came_back(machine, archives)
    assert not (machine.home / "archives").exists()  # there was nothing to save first
    assert archives.files.exists()


def test_step_8_is_done_too_as_far_as_it_can_be(machine: Machine, archives: Archives) -> None:
    done = machine.restore(archives.files, "--regenerate", "builtin")
    assert done.returncode == 0, done
    assert (machine.cell / "config/caddy/Caddyfile").stat().st_size


def test_no_services_are_wanted(machine: Machine, archives: Archives) -> None:
    done = machine.restore(archives.full, "--services", "")
    assert done.returncode == 0, done
    assert_came_back(machine, archives)


def test_components_are_chosen(machine: Machine, archives: Archives) -> None:
    done = machine.restore(archives.full, "--services", "", "--components", "vault,web")
    assert done.returncode == 0, done
    assert sorted(path.name for path in (machine.cell / "data").iterdir()) == ["caddy", "dns", "vault"]


def test_a_dry_run_tells_and_changes_nothing(machine: Machine, archives: Archives) -> None:
    before = make_changed_cell(machine.cell, machine.home / "other")
    done = machine.restore(archives.full, "--dry-run")
    assert done.returncode == 0, done
    assert_same(machine, before)
    counts = "1 file to create, 1 file and 1 folder to replace, nothing to remove, nothing to leave"
    assert f"vault: {counts}" in done.stdout
    assert "create data/vault/ca.crt" in done.stdout
    assert "missing: mail/mailboxes" in done.stdout
    assert "room for the cell's files: " in done.stdout
    assert "make restart" not in done.stdout
    assert not (machine.home / "archives").exists()


def test_a_dry_run_makes_no_folder(machine: Machine, archives: Archives) -> None:
    done = machine.restore(archives.full, "--dry-run")
    assert done.returncode == 1
    assert "[cell_root_missing]" in done.stderr
    assert not machine.cell.exists()


def test_json_is_the_jobs_record_alone(machine: Machine, archives: Archives) -> None:
    make_changed_cell(machine.cell, machine.home / "other")
    done = machine.restore(archives.full, "--json")
    assert done.returncode == 3
    record = json.loads(done.stdout)
    assert (record["kind"], record["state"], record["backup_id"]) == (
        "restore",
        "partial",
        "backup-20261123-020000-00000f",
    )
    assert [step["stage"] for step in record["result"]["steps"]] == list(STAGES)
    assert record["result"]["safety_backup_id"]
    assert {part["part"]["name"] for part in record["components"]} >= set(COMPONENTS)
    assert done.stderr == ""


def test_what_was_replaced_is_kept_and_can_be_restored(machine: Machine, archives: Archives) -> None:
    before = make_changed_cell(machine.cell, machine.home / "other")
    done = machine.restore(archives.full, "--services", "")
    assert_came_back(machine, archives)
    (kept,) = (machine.home / "archives").glob("*.tar.gz")
    assert f"what was replaced is kept as {kept.name.removesuffix('.tar.gz')}" in done.stdout
    assert machine.restore(kept).returncode == 0
    found = differences(held_by_backups(before), held_by_backups(describe(machine.cell)))
    assert not found, found


def test_no_safety_archive_is_wanted(machine: Machine, archives: Archives) -> None:
    make_changed_cell(machine.cell, machine.home / "other")
    assert machine.restore(archives.files, "--safety", "none").returncode == 0
    assert not (machine.home / "archives").exists()
    assert_came_back(machine, archives)


def test_an_encrypted_archive_and_an_encrypted_safety_archive(
    machine: Machine, archives: Archives, secret: Path
) -> None:
    before = make_changed_cell(machine.cell, machine.home / "other")
    done = machine.restore(archives.locked, "--passphrase-file", secret, "--services", "")
    assert done.returncode == 0, done
    assert_came_back(machine, archives)
    (kept,) = [path for path in (machine.home / "archives").iterdir() if path.suffix != ".json"]
    assert kept.suffix == ".age"
    assert machine.restore(kept, "--passphrase-file", secret).returncode == 0
    found = differences(held_by_backups(before), held_by_backups(describe(machine.cell)))
    assert not found, found
    for path in machine.home.rglob("*"):
        assert path == secret or not path.is_file() or PASSPHRASE.encode() not in path.read_bytes(), path


def test_the_passphrase_is_asked_for_on_a_terminal(machine: Machine, archives: Archives, tmp_path: Path) -> None:
    words: list[str | Path] = [*CLI, "restore", archives.locked, "--cell-root", machine.cell]
    words += ["--regenerate", "off", "--services", ""]
    session = answer_on_terminal(words, PASSPHRASE, environment=machine.environment, directory=tmp_path)
    assert session.code == 0, session
    assert_came_back(machine, archives)
    assert PASSPHRASE not in session.screen


@pytest.mark.parametrize("given", ["correct horse", ""])
def test_a_wrong_passphrase_makes_nothing(machine: Machine, archives: Archives, tmp_path: Path, given: str) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(given)
    done = machine.restore(archives.locked, "--passphrase-file", wrong)
    assert done.returncode == 1
    assert "[passphrase_wrong]" in done.stderr or "[passphrase_required]" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong"]


def test_without_a_terminal_nothing_is_asked(machine: Machine, archives: Archives) -> None:
    done = machine.restore(archives.locked)
    assert done.returncode == 1
    assert "[passphrase_required]" in done.stderr
    assert not machine.cell.exists()


@pytest.mark.parametrize("where", [0.5, 0.99])
def test_a_cut_archive_changes_nothing(machine: Machine, archives: Archives, tmp_path: Path, where: float) -> None:
    before = make_changed_cell(machine.cell, machine.home / "other")
    cut = tmp_path / archives.full.name
    content = archives.full.read_bytes()
    cut.write_bytes(content[: int(len(content) * where)])
    done = machine.restore(cut)
    assert done.returncode == 1
    assert "[archive_truncated]" in done.stdout + done.stderr
    assert_same(machine, before)


def test_a_file_that_is_not_there(machine: Machine) -> None:
    done = machine.restore(machine.home / "nowhere.tar.gz")
    assert done.returncode == 1
    assert "[backup_not_found]" in done.stderr
    assert not machine.cell.exists()


def test_wrong_usage(machine: Machine, archives: Archives) -> None:
    assert machine.restore(archives.full, "--safety", "some").returncode == 2
    assert machine.run([*CLI, "restore", archives.full]).returncode == 2


@pytest.mark.parametrize("what", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("at", [("prepared", ""), ("component", "vault"), ("component", "rest"), ("folders", "")])
def test_a_signal_puts_back(machine: Machine, archives: Archives, what: str, at: tuple[str, str]) -> None:
    before = make_changed_cell(machine.cell, machine.home / "other")
    done = machine.restore_meddled(AT_NOTE.format(at=at, what=what), archives.full)
    assert done.returncode == 1, done
    assert "[cancelled]" in done.stdout
    assert_same(machine, before)


def test_a_signal_after_the_commit_changes_nothing_any_more(machine: Machine, archives: Archives) -> None:
    make_changed_cell(machine.cell, machine.home / "other")
    done = machine.restore_meddled(AT_NOTE.format(at=("committed", ""), what="SIGINT"), archives.files)
    assert done.returncode == 0, done
    assert_came_back(machine, archives)


@pytest.mark.parametrize("next_call", ["--dry-run", "--json"])
def test_the_next_call_puts_back_what_was_cut_off(machine: Machine, archives: Archives, next_call: str) -> None:
    before = make_changed_cell(machine.cell, machine.home / "other")
    killed = machine.restore_meddled(AT_NOTE.format(at=("component", "access"), what="SIGKILL"), archives.full)
    assert killed.returncode == -9
    assert differences(before, describe(machine.cell))
    done = machine.restore(archives.full, next_call)
    assert "was cut off, and the cell was put back as it was before" in done.stderr
    if next_call == "--dry-run":
        assert done.returncode == 0
        assert_same(machine, before)
    else:
        assert json.loads(done.stdout)["state"] == "partial"
        assert_came_back(machine, archives)
    assert not (machine.cell / ".cell-backup").exists()
