"""What a store on disk does with archives that come from elsewhere, and with what dead ones left of them."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.archive.beginning import is_encrypted_archive
from app.archive.envelope import MAX_LINE, new_envelope
from app.catalog.base import Verification
from app.catalog.local import LocalStore
from app.errors import ArchiveError, Code
from tests.unit.catalog.support import CONTENT, FIRST, NOON, entry_of, put

RECEIVING = """
import sys
from pathlib import Path
from app.catalog.local import LocalStore
with LocalStore(Path(sys.argv[1])).receive(sys.argv[2]) as incoming:
    incoming.write(b"the beginning of something longer than what comes next")
    print("begun", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cell/backups"


@pytest.fixture
def store(directory: Path) -> LocalStore:
    return LocalStore(directory)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def killed_while_receiving(directory: Path) -> None:
    command = [sys.executable, "-c", RECEIVING, str(directory), FIRST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert LocalStore(directory).sweep() == []
        process.send_signal(signal.SIGKILL)


def test_what_a_killed_process_left_is_swept(store: LocalStore, directory: Path) -> None:
    killed_while_receiving(directory)
    (left,) = names(directory)
    assert store.entries() == []
    assert store.sweep() == [left]
    assert names(directory) == []


def test_what_a_killed_process_left_is_in_nobodys_way(store: LocalStore, directory: Path) -> None:
    killed_while_receiving(directory)
    with store.receive(FIRST) as incoming:
        incoming.write(CONTENT)
        incoming.take_in(encrypted=False)
    assert store.path(FIRST).read_bytes() == CONTENT
    assert names(directory) == [f"{FIRST}.tar.gz"]


def test_files_are_for_the_owner_only(store: LocalStore, directory: Path) -> None:
    before = os.umask(0)
    try:
        with store.receive(FIRST) as incoming:
            incoming.take_in(encrypted=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.path(FIRST).stat().st_mode) == 0o600


def test_what_was_noted_of_an_archive_that_is_gone_is_not_said_of_the_one_that_comes(
    store: LocalStore, directory: Path
) -> None:
    put(store, entry_of())
    store.record_verification(FIRST, Verification(NOON, ok=True))
    (directory / f"{FIRST}.tar.gz").unlink()
    with store.receive(FIRST) as incoming:
        incoming.write(CONTENT)
        incoming.take_in(encrypted=False)
    entry = store.get(FIRST)
    assert not entry.described
    assert entry.verified is None


def test_a_plain_archive_is_known_by_its_first_bytes() -> None:
    assert not is_encrypted_archive(b"\x1f\x8b\x08\x00")


def test_an_encrypted_archive_is_known_by_its_first_line() -> None:
    envelope, _ = new_envelope("a passphrase", scrypt_n=2**10)
    assert is_encrypted_archive(envelope.to_line().encode() + b"\ngAAAA")


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"", Code.ARCHIVE_FOREIGN),
        (b"\x1f\x8b", Code.ARCHIVE_FOREIGN),
        (b"PK\x03\x04", Code.ARCHIVE_FOREIGN),
        (b"{}\n", Code.ARCHIVE_FOREIGN),
        (b"{" + b" " * MAX_LINE + b"\n", Code.ARCHIVE_FOREIGN),
        (b"age-encryption.org/v1\n", Code.ARCHIVE_FOREIGN),
        (b'{"format":"cell-backup","version":2}\n', Code.ARCHIVE_TOO_NEW),
        (b'{"format":"cell-backup","version":1}\n', Code.ARCHIVE_DAMAGED),
    ],
)
def test_anything_else_is_foreign(head: bytes, code: Code) -> None:
    with pytest.raises(ArchiveError) as caught:
        is_encrypted_archive(head)
    assert caught.value.code is code
