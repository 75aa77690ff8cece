"""What a process alone refuses before anything is done, and that a folder which it made in vain is gone again."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.restoring import PASSPHRASE
from tests.service.alone import Archives, Machine, make_archives
from tests.support.service import Place, sample_place


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return make_archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with sample_place() as made:
        yield made


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--components", "vault,vautl"), "unknown_component"),
        (("--components", "", "--services", ""), "invalid_request"),
    ],
)
def test_a_choice_that_cannot_be_meant(machine: Machine, archives: Archives, options: Sequence[str], code: str) -> None:
    done = machine.restore(archives.full, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"[{code}]" in done.stderr
    assert "vautl" in done.stderr or code == "invalid_request"
    assert list(machine.home.iterdir()) == []


def test_a_service_that_the_archive_has_not_is_no_wrong_choice(machine: Machine, archives: Archives) -> None:
    done = machine.restore(archives.full, "--services", "mial")
    assert done.returncode == 3, done
    assert "The archive has nothing of 'mial'." in done.stdout


@pytest.mark.parametrize("command", ["restore", "verify", "contents"])
def test_a_passphrase_for_a_plain_archive(machine: Machine, archives: Archives, place: Place, command: str) -> None:
    secret = machine.home / "passphrase"
    secret.write_text(PASSPHRASE)
    where = ("--cell-root", machine.cell) if command == "restore" else ()
    done = place.cli(command, archives.files, *where, "--passphrase-file", secret)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[passphrase_unexpected]" in done.stderr.decode()
    assert not machine.cell.exists()


@pytest.fixture
def damaged(archives: Archives, tmp_path: Path) -> Path:
    path = tmp_path / archives.files.name
    path.write_bytes(archives.files.read_bytes()[:-1000])
    return path


def test_folders_made_for_a_cell_that_does_not_come_are_gone_again(
    machine: Machine, archives: Archives, damaged: Path
) -> None:
    (machine.home / "srv").mkdir()
    root = machine.home / "srv/new/cell"
    done = machine.restore(damaged, "--cell-root", root)
    assert done.returncode == 1
    assert list((machine.home / "srv").iterdir()) == []
    done = machine.restore(archives.files, "--cell-root", root)
    assert done.returncode == 0, done
    config, made = (root / "config").stat(), root.stat()
    assert (made.st_uid, made.st_gid) == (config.st_uid, config.st_gid)


def test_a_folder_that_was_there_stays(machine: Machine, damaged: Path) -> None:
    machine.cell.mkdir()
    assert machine.restore(damaged).returncode == 1
    assert list(machine.cell.iterdir()) == []


def test_a_cell_that_is_not_there_is_not_generated_anew(place: Place, tmp_path: Path) -> None:
    done = place.cli("regenerate", "--cell-root", tmp_path / "gone")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[cell_root_missing]" in done.stderr.decode()
    done = place.cli("regenerate", "--cell-root", tmp_path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[cell_root_not_a_cell]" in done.stderr.decode()


def test_a_regeneration_of_which_nothing_came_has_failed(place: Place) -> None:
    done = place.cli("regenerate", "--cell-root", place.cell, "--way", "hook", "--json")
    assert done.returncode == 1
    assert {part["outcome"] for part in json.loads(done.stdout).values()} == {"failed"}


def test_a_regeneration_of_which_something_came_is_partial(place: Place) -> None:
    corefile = place.cell / "config/dns/Corefile"
    kept = corefile.read_bytes()
    corefile.unlink()
    corefile.mkdir()
    try:
        done = place.cli("regenerate", "--cell-root", place.cell, "--json")
    finally:
        corefile.rmdir()
        corefile.write_bytes(kept)
    assert done.returncode == 3, done
    assert {part["outcome"] for part in json.loads(done.stdout).values()} >= {"failed", "succeeded"}
