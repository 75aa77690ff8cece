"""The command line on a machine without a service: backups, lists, contents, a new passphrase, completion."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.terminal import answer_on_terminal
from tests.support.service import CLI, Place, sample_place

OLD, NEW = "Grüße, correct horse", "a new battery"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with sample_place() as made:
        yield made


@pytest.fixture(scope="module")
def locked(place: Place) -> Path:
    """Give an encrypted archive that a process alone made; tests change copies of it."""
    secret = place.home / "secret"
    secret.write_text(f"{OLD}\n", encoding="utf-8")
    done = place.cli("backup", "--alone", "--services", "", "--passphrase-file", secret)
    assert done.returncode == 0, done
    return Path(done.stdout.decode().splitlines()[-1])


@pytest.fixture
def copy(locked: Path, tmp_path: Path) -> Path:
    """Give a copy of the archive with its sidecar."""
    sidecar = locked.with_name(locked.name.removesuffix(".tar.gz.age") + ".json")
    shutil.copy(sidecar, tmp_path)
    return Path(shutil.copy(locked, tmp_path))


@pytest.fixture
def secrets(tmp_path: Path) -> tuple[Path, Path]:
    paths = (tmp_path / "old", tmp_path / "new")
    for path, text in zip(paths, (OLD, NEW), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def test_a_backup_alone_is_a_whole_archive(place: Place, locked: Path) -> None:
    assert locked.parent == place.backups
    done = place.cli("verify", locked, "--passphrase-file", place.home / "secret", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["files"] > 30
    assert not (place.state / "redis").exists()


def test_a_backup_alone_says_what_is_missing(place: Place) -> None:
    done = place.cli("backup", "--alone", "--cell-root", place.cell, "--json")
    assert done.returncode == 3
    job = json.loads(done.stdout)
    assert (job["kind"], job["state"]) == ("backup", "partial")


def test_a_backup_alone_of_nothing_is_refused(place: Place, tmp_path: Path) -> None:
    done = place.cli("backup", "--alone", "--cell-root", tmp_path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[cell_root_not_a_cell]" in done.stderr.decode()
    done = place.cli("backup", "--alone", "--components", "vaults")
    assert done.returncode == 1
    assert "[unknown_component]" in done.stdout.decode()


def test_a_directory_is_listed(place: Place, copy: Path) -> None:
    done = place.cli("list", copy.parent)
    header, row = done.stdout.decode().splitlines()
    assert (done.returncode, header.split()[0], row.split()[0]) == (0, "ID", copy.name.removesuffix(".tar.gz.age"))
    (told,) = json.loads(place.cli("list", copy.parent, "--json").stdout)["backups"]
    assert (told["encrypted"], told["outcome"], told["parts"][0]["name"]) == (True, "succeeded", "vault")


def test_a_directory_that_is_not_there_is_no_empty_one(place: Place, tmp_path: Path) -> None:
    assert place.cli("list", tmp_path / "gone").returncode == 1
    assert place.cli("list", tmp_path).returncode == 0


def test_contents_of_a_file_need_its_passphrase(place: Place, copy: Path, secrets: tuple[Path, Path]) -> None:
    done = place.cli("contents", copy, "--passphrase-file", secrets[0], "--prefix", "data/vault/vault")
    assert done.stdout.decode().splitlines()[0].endswith(" data/vault/vault.key")
    assert place.cli("contents", copy).returncode == 1
    assert place.cli("contents", copy, "--passphrase-file", secrets[1]).returncode == 1


def test_what_ends_like_an_archive_is_a_file(place: Place) -> None:
    for words in (("contents", "gone.tar.gz"), ("verify", "gone", "--alone"), ("verify", "./gone")):
        done = place.cli(*words)
        assert done.returncode == 1
        assert "cannot be opened: No such file" in done.stderr.decode()
        assert "[backup_not_found]\n  Look whether it is there" in done.stderr.decode()


def test_a_passphrase_file_that_is_not_there_is_no_missing_backup(place: Place, copy: Path) -> None:
    done = place.cli("contents", copy, "--passphrase-file", copy.with_name("gone"))
    assert done.returncode == 1
    assert "gone cannot be opened: No such file or directory. [invalid_request]\n  Look" in done.stderr.decode()


def test_a_new_passphrase_on_a_terminal(place: Place, copy: Path, secrets: tuple[Path, Path]) -> None:
    tokens = copy.read_bytes().split(b"\n", 1)[1]
    session = answer_on_terminal(
        [*CLI, "rewrap", copy], [OLD, NEW, NEW], environment=place.environment(), directory=copy.parent
    )
    assert session.code == 0, session
    assert OLD not in session.screen
    assert NEW not in session.screen
    assert copy.read_bytes().split(b"\n", 1)[1] == tokens
    assert place.cli("verify", copy, "--passphrase-file", secrets[1]).returncode == 0
    assert "[passphrase_wrong]" in place.cli("verify", copy, "--passphrase-file", secrets[0]).stderr.decode()


def test_a_new_passphrase_out_of_files(place: Place, copy: Path, secrets: tuple[Path, Path]) -> None:
    old, new = secrets
    done = place.cli("rewrap", copy, "--passphrase-file", old, "--new-passphrase-file", new, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    told = json.loads(done.stdout)
    assert told["sha256"] == hashlib.sha256(copy.read_bytes()).hexdigest()
    (listed,) = json.loads(place.cli("list", copy.parent, "--json").stdout)["backups"]
    assert (listed["sha256"], listed["size"], listed["warnings"]) == (told["sha256"], told["size"], listed["warnings"])
    assert not [warning for warning in listed["warnings"] if "was cut or replaced" in warning]


@pytest.mark.parametrize("answers", [["wrong"], [OLD, NEW, "another"], [OLD, ""]])
def test_a_passphrase_that_is_not_sure_changes_nothing(place: Place, copy: Path, answers: list[str]) -> None:
    before = copy.read_bytes()
    session = answer_on_terminal(
        [*CLI, "rewrap", copy], answers, environment=place.environment(), directory=copy.parent
    )
    assert session.code == 1
    assert "[passphrase_" in session.screen
    assert copy.read_bytes() == before


def test_a_plain_archive_has_no_passphrase_to_change(place: Place, copy: Path, secrets: tuple[Path, Path]) -> None:
    plain = copy.with_name("plain.tar.gz")
    assert place.cli("decrypt", copy, "-o", plain, "--passphrase-file", secrets[0]).returncode == 0
    done = place.cli("rewrap", plain)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[passphrase_unexpected]" in done.stderr.decode()


def test_a_passphrase_file_that_is_no_text_is_said_so(place: Place, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"Gr\xfc\xdfe\n")
    done = place.cli("verify", copy, "--passphrase-file", tmp_path / "latin")
    assert done.returncode == 1
    assert "is not UTF-8. [invalid_request]" in done.stderr.decode()


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(place: Place, locked: Path) -> None:
    words: list[str | Path] = [*CLI, "contents", locked, "--passphrase-file", place.home / "secret"]
    command = subprocess.Popen(
        words, env=place.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=place.home
    )
    with command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        said = command.stderr.read()
    assert (command.returncode, said) == (141, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_learns_commands_and_options(place: Place, shell: str) -> None:
    done = place.cli("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    script = done.stdout.decode()
    assert [word for word in ("rewrap", "doctor", "passphrase-fd", "dry-run") if word not in script] == []


def complete(place: Place, *words: str) -> list[str]:
    """Let a real bash complete the last word."""
    script = place.cli("completion", "bash").stdout.decode()
    asked = " ".join(f"'{word}'" for word in words)
    script += f"\nCOMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}\n"
    script += f"_shtab_cell_backup cell-backup '{words[-1]}' '{words[-2]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    done = subprocess.run(["bash", "-c", script], cwd=place.home, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_commands_options_and_files(place: Place, locked: Path) -> None:
    assert sorted(complete(place, "cell-backup", "re")) == ["regenerate", "restore", "retention", "rewrap"]
    assert complete(place, "cell-backup", "backup", "--passphrase-p") == ["--passphrase-prompt"]
    assert "archives" in " ".join(complete(place, "cell-backup", "rewrap", "arch"))
    assert locked.exists()


def test_the_doctor_fails_where_no_cell_is(place: Place, tmp_path: Path) -> None:
    done = place.cli("doctor", "--cell-root", tmp_path, "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("fail  cell_root ")]
    assert [line for line in lines if line.startswith("warn  service ")]
