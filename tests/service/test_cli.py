"""The command line without a service: what it says, and how it ends."""

import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.service.terminal import Session, answer_on_terminal
from tests.support.service import CLI, Place, running_service, sample_place

PASSPHRASE = "Grüße, correct horse"
COMMANDS = ("serve", "api", "worker", "quick", "verify", "decrypt", "demo")


@dataclass(frozen=True, slots=True)
class Archives:
    """Hold a plain, an encrypted and a partial archive, made once by a real service."""

    place: Place
    plain: Path
    locked: Path
    partial: Path


@pytest.fixture(scope="module")
def archives() -> Iterator[Archives]:
    with sample_place() as place:
        with running_service(place) as service:
            names = [
                service.backup(services=[])["result"]["file_name"],
                service.backup(services=[], passphrase=PASSPHRASE)["result"]["file_name"],
                service.backup(components=["vault"])["result"]["file_name"],
            ]
        yield Archives(place, *(place.backups / name for name in names))


@pytest.fixture
def locked(archives: Archives, tmp_path: Path) -> Path:
    """Give a copy of the encrypted archive that this test may damage."""
    copy = tmp_path / "locked.tar.gz.age"
    copy.write_bytes(archives.locked.read_bytes())
    return copy


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(PASSPHRASE + "\nwhat follows is no part of it\n", encoding="utf-8")
    return path


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode()


def others(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in {"locked.tar.gz.age", "secret"})


def ask_on_terminal(place: Place, answer: str, *arguments: str | Path, directory: Path) -> Session:
    return answer_on_terminal([*CLI, *arguments], answer, environment=place.environment(), directory=directory)


def test_help_names_every_command(archives: Archives) -> None:
    done = archives.place.cli("--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [command for command in COMMANDS if f"    {command} " not in done.stdout.decode()] == []
    assert b"--passphrase-file" in archives.place.cli("decrypt", "--help").stdout


@pytest.mark.parametrize("arguments", [("frobnicate",), ("verify",), ("decrypt", "--passphrase", "a secret", "file")])
def test_wrong_usage_ends_with_2_and_says_what_is_right(archives: Archives, arguments: tuple[str, ...]) -> None:
    done = archives.place.cli(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said(done).startswith("usage: cell-backup")
    assert "cannot be opened" not in said(done)


def test_a_plain_archive_verifies_without_a_passphrase(archives: Archives) -> None:
    done = archives.place.cli("verify", archives.plain)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith(f"{archives.plain}: whole; ")


def test_a_partial_archive_is_whole_but_says_what_is_missing(archives: Archives) -> None:
    done = archives.place.cli("verify", archives.partial)
    assert done.returncode == 3
    assert "whole" in done.stdout.decode()
    assert "mail/mailboxes skipped: " in done.stdout.decode()


def test_a_passphrase_file_gives_its_first_line(archives: Archives, locked: Path, secret: Path) -> None:
    assert archives.place.cli("verify", locked, "--passphrase-file", secret).returncode == 0


def test_a_passphrase_comes_through_a_pipe_when_that_is_said(archives: Archives, locked: Path) -> None:
    done = archives.place.cli("verify", locked, "--passphrase-file", "/dev/stdin", data=PASSPHRASE.encode())
    assert done.returncode == 0, said(done)


def test_the_passphrase_is_asked_for_on_a_terminal_and_not_shown(
    archives: Archives, locked: Path, tmp_path: Path
) -> None:
    session = ask_on_terminal(archives.place, PASSPHRASE, "verify", locked, directory=tmp_path)
    assert session.code == 0, session.screen
    assert b": whole; " in session.output
    assert "Passphrase: " in session.screen
    assert PASSPHRASE not in session.screen


def test_decrypt_asks_on_a_terminal_while_its_output_is_a_pipe(
    archives: Archives, locked: Path, tmp_path: Path
) -> None:
    session = ask_on_terminal(archives.place, PASSPHRASE, "decrypt", locked, "-o", "-", directory=tmp_path)
    assert session.code == 0, session.screen
    listed = subprocess.run(["tar", "-tz"], input=session.output, check=True, capture_output=True)
    assert b"data/vault/vault.key" in listed.stdout.splitlines()


def test_a_wrong_passphrase_on_the_terminal_is_said_so(archives: Archives, locked: Path, tmp_path: Path) -> None:
    session = ask_on_terminal(archives.place, "wrong", "decrypt", locked, directory=tmp_path)
    assert session.code == 1
    assert "[passphrase_wrong]" in session.screen
    assert others(tmp_path) == ["terminal.output"]


def test_without_a_terminal_nothing_is_asked(archives: Archives, locked: Path) -> None:
    done = archives.place.cli("verify", locked, data=PASSPHRASE.encode())
    assert done.returncode == 1
    assert "[passphrase_required]" in said(done)
    assert "--passphrase-file" in said(done)


def test_a_wrong_passphrase_is_never_taken_for_damage(archives: Archives, locked: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "secret"
    wrong.write_text("correct horse\n")
    done = archives.place.cli("verify", locked, "--passphrase-file", wrong)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[passphrase_wrong]" in said(done)


def test_decrypt_writes_beside_the_archive_for_the_owner_alone(
    archives: Archives, locked: Path, secret: Path, tmp_path: Path
) -> None:
    done = archives.place.cli("decrypt", locked, "--passphrase-file", secret)
    assert (done.returncode, done.stderr) == (0, b"")
    assert others(tmp_path) == ["locked.tar.gz"]
    output = tmp_path / "locked.tar.gz"
    assert done.stdout.decode() == f"{output}\n"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert archives.place.cli("verify", output).returncode == 0


@pytest.mark.parametrize("option", [(), ("-o", "given.tar.gz")])
def test_decrypt_never_overwrites(
    archives: Archives, locked: Path, secret: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    output = tmp_path / (option[1] if option else "locked.tar.gz")
    output.write_text("mine")
    wanted = ("-o", output) if option else ()
    done = archives.place.cli("decrypt", locked, "--passphrase-file", secret, *wanted)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "exists" in said(done)
    assert output.read_text() == "mine"
    assert others(tmp_path) == [output.name]


def test_decrypt_refuses_a_plain_archive(archives: Archives) -> None:
    done = archives.place.cli("decrypt", archives.plain)
    assert done.returncode == 1
    assert "[passphrase_unexpected]" in said(done)
    assert "tar" in said(done)


def damages(content: bytes) -> list[tuple[bytes, str]]:
    """Give the archive cut, changed, with its last line twice, and without its first."""
    first, *_, last = content.splitlines(keepends=True)
    return [
        (content[: len(content) // 2], "archive_truncated"),
        (content[:-300] + bytes([content[-300] ^ 3]) + content[-299:], "archive_damaged"),
        (content + last, "archive_damaged"),
        (b"{" + content[len(first) :], "archive_foreign"),
    ]


def test_a_damaged_archive_leaves_no_output(archives: Archives, locked: Path, secret: Path, tmp_path: Path) -> None:
    for content, code in damages(locked.read_bytes()):
        locked.write_bytes(content)
        done = archives.place.cli("decrypt", locked, "--passphrase-file", secret)
        assert (done.returncode, done.stdout) == (1, b"")
        assert f"[{code}]" in said(done)
        assert others(tmp_path) == []


def test_a_damaged_archive_does_not_verify(archives: Archives, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tar.gz"
    content = bytearray(archives.plain.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    done = archives.place.cli("verify", damaged)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[archive_damaged]" in said(done)


def test_a_missing_file_is_said_without_a_traceback(archives: Archives, tmp_path: Path) -> None:
    done = archives.place.cli("verify", tmp_path / "nowhere.tar.gz.age")
    assert done.returncode == 1
    assert "nowhere.tar.gz.age cannot be opened: No such file" in said(done)
    assert "Traceback" not in said(done)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 something else entirely"])
def test_a_foreign_file_is_refused(archives: Archives, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar.gz").write_bytes(content)
    done = archives.place.cli("verify", tmp_path / "x.tar.gz")
    assert done.returncode == 1
    assert "Traceback" not in said(done)
    assert "[archive_" in said(done)


def test_quick_without_a_cell_is_refused_and_leaves_nothing(archives: Archives, tmp_path: Path) -> None:
    done = archives.place.cli("quick", "--cell-root", tmp_path)
    assert done.returncode == 1
    assert "[cell_root_not_a_cell]" in said(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["api", "worker"])
def test_one_process_alone_says_that_it_needs_redis(archives: Archives, command: str) -> None:
    done = archives.place.cli(command)
    assert done.returncode == 1
    assert "CELL_BACKUP_REDIS_URL is not set" in said(done)
    assert "Traceback" not in said(done)
