"""What the journal holds where the disk fails it: the line or no line, and never a broken one."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cell.restoring.journal import Journal, Kind
from app.errors import Code, JobError
from tests.faults.disks import file_size_limit


def failing_once(function: Callable[..., None], at: int = 0) -> Callable[..., None]:
    """Have one call fail as a dying disk does."""
    left = iter(range(at, -1000, -1))

    def call(*args: int) -> None:
        if next(left) == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        function(*args)

    return call


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(path: Path) -> Journal:
    begun = Journal(path)
    begun.note(Kind.OPENED, job_id="job", backup_id="backup")
    begun.note(Kind.COMPONENT, name="web")
    return begun


def kinds(journal: Journal) -> list[str]:
    return [note.kind for note in journal.notes]


def test_a_disk_that_takes_half_a_line_has_taken_none(path: Path, journal: Journal) -> None:
    before = path.read_bytes()
    with file_size_limit(len(before) + 20), pytest.raises(JobError) as caught:
        journal.note(Kind.VOLUME, part={"name": "x" * 50})

    assert caught.value.code is Code.SWAP_FAILED
    assert path.read_bytes() == before
    journal.note(Kind.ROLLED_BACK)
    assert kinds(journal) == kinds(Journal(path)) == ["opened", "component", "rolled_back"]


def test_a_line_that_is_taken_piece_by_piece_is_whole(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:7], offset))

    journal.note(Kind.COMMITTED)

    assert kinds(Journal(path)) == ["opened", "component", "committed"]


def test_a_line_that_could_not_be_made_durable_is_not_there(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing_once(os.fsync))

    with pytest.raises(JobError):
        journal.note(Kind.COMMITTED)

    assert not journal.committed
    assert not Journal(path).committed
    journal.note(Kind.ROLLED_BACK)
    assert kinds(Journal(path)) == ["opened", "component", "rolled_back"]


@pytest.mark.parametrize("call", ["ftruncate", "fsync"])
def test_a_journal_whose_last_line_is_not_known_takes_no_more(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refused(*_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refused)
        patched.setattr(os, call, failing_once(os.ftruncate, at=1) if call == "ftruncate" else refused)
        with pytest.raises(JobError):
            journal.note(Kind.COMMITTED)

    left = path.read_bytes()
    with pytest.raises(JobError) as caught:
        journal.note(Kind.ROLLED_BACK)
    assert "not known" in caught.value.message
    assert path.read_bytes() == left
    assert kinds(journal) == ["opened", "component"]


@pytest.mark.parametrize("torn", [b"\0" * 40, b"\0" * 40 + b'"web"}\n', b'{"kind": "com\0\0\0\0\n', b'{"kind"'])
def test_what_a_power_cut_left_of_the_last_line_does_not_count(path: Path, journal: Journal, torn: bytes) -> None:
    with path.open("ab") as file:
        file.write(torn)

    read = Journal(path)
    assert kinds(read) == kinds(journal)
    read.note(Kind.ROLLED_BACK)
    assert kinds(Journal(path)) == ["opened", "component", "rolled_back"]


def test_a_broken_line_before_others_is_an_error(path: Path, journal: Journal) -> None:
    first, second = (json.dumps({"kind": note.kind}).encode() + b"\n" for note in journal.notes)
    path.write_bytes(first + b"\0" * 40 + b"\n" + second)

    with pytest.raises(JobError) as caught:
        Journal(path)

    assert caught.value.code is Code.ROLLBACK_FAILED
