import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.access.audit import AuditEvent, AuditLog


def write(log: AuditLog, *names: str) -> None:
    for name in names:
        log.write(AuditEvent.JOB_ENDED, what="backup", job_id=name, outcome="succeeded")


def read(log: AuditLog, limit: int = 1000) -> list[str | None]:
    return [entry.job_id for entry in log.read(limit=limit)]


def test_before_anything_is_written_it_is_empty_and_makes_no_file(tmp_path: Path) -> None:
    assert AuditLog(tmp_path / "state").read(limit=10) == []
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("torn", [b'{"entry_id": "0123', b"{}", b"\xff\xfe\x00", b'{"entry_id": "0123456789abcdef"}'])
def test_a_line_that_was_cut_off_is_passed_over_and_spoils_no_other(tmp_path: Path, torn: bytes) -> None:
    log = AuditLog(tmp_path)
    write(log, "a")
    with (tmp_path / "audit.log").open("ab") as file:
        file.write(torn)
    assert read(log) == ["a"]
    write(log, "b", "c")
    assert read(log) == ["c", "b", "a"]


def test_it_is_turned_over_by_size_and_the_oldest_part_is_dropped(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, largest=1000, kept=2)
    names = [f"{number:04}" for number in range(60)]
    write(log, *names)
    files = sorted(path for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert [path.name for path in files] == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(path.stat().st_size <= 1000 and path.stat().st_mode & 0o777 == 0o600 for path in files)
    found = read(log)
    assert 10 < len(found) < 60
    assert found == names[: -len(found) - 1 : -1]


def test_reading_goes_on_across_parts_where_it_stopped(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, largest=1000, kept=50)
    names = [f"{number:04}" for number in range(40)]
    write(log, *names)
    found: list[str | None] = []
    before = None
    while page := log.read(limit=7, before=before):
        found += [entry.job_id for entry in page]
        before = page[-1].entry_id
    assert found == names[::-1]
    assert log.read(limit=5, before="0" * 16) == []


def test_a_line_longer_than_a_block_of_reading_is_whole(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    write(log, *("a" * 300 for _ in range(1000)), "b")
    found = read(log, limit=2000)
    assert len(found) == 1001
    assert found[0] == "b"


def test_a_process_that_is_stopped_while_it_turns_the_log_over_holds_nobody_up(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, largest=500, kept=1)
    write(log, "a")
    holding = (
        "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.flock(f,fcntl.LOCK_EX); print('held',flush=True); input()"
    )
    arguments = [sys.executable, "-c", holding, str(tmp_path / "audit.lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        write(log, "b", "c", "d", "e")
        assert read(log) == ["e", "d", "c", "b", "a"]
        holder.communicate("\n")
    write(log, "f")
    assert (tmp_path / "audit.log.1").exists()


WRITING = """
import sys
from pathlib import Path
from app.access.audit import AuditEvent, AuditLog
log = AuditLog(Path(sys.argv[1]), largest=1500, kept=300)
for number in range(150):
    log.write(AuditEvent.REQUEST, what="x" * 80, job_id=f"{sys.argv[2]}{number}")
"""


def test_of_processes_that_write_and_turn_over_at_once_no_line_is_lost(tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", WRITING, str(tmp_path), name]) for name in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    log = AuditLog(tmp_path, kept=300)
    assert sorted(read(log, 10_000), key=str) == sorted(f"{name}{number}" for name in "abc" for number in range(150))
    parts = [path.stat().st_size for path in tmp_path.glob("audit.log.*")]
    assert len(parts) > 1  # how many depends on how often one passed by while another was turning it over
    assert min(parts) > 1000  # none was turned over twice


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/audit.log").symlink_to(tmp_path / "elsewhere")
    write(AuditLog(tmp_path / "state"), "a")
    assert not (tmp_path / "elsewhere").exists()
    assert "audit.log cannot be written" in caplog.text


def test_a_disk_that_takes_half_a_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(tmp_path)
    write(log, "a")
    real = os.write
    monkeypatch.setattr("app.access.audit.os.write", lambda descriptor, line: real(descriptor, line[:20]))
    write(log, "b")
    monkeypatch.undo()
    assert '"job_id":"b"' in caplog.text
    write(log, "c")
    assert read(log) == ["c", "a"]


def test_a_part_that_is_moved_on_while_the_log_is_read_is_read_once(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    write(log, "a", "b")
    (tmp_path / "audit.log.1").hardlink_to(tmp_path / "audit.log")  # what a reader sees that came in between
    assert read(log) == ["b", "a"]


def test_who_comes_second_does_not_turn_over_what_the_first_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(AuditLog(tmp_path), "a")
    room_for_two = (tmp_path / "audit.log").stat().st_size * 5 // 2
    log = AuditLog(tmp_path, largest=room_for_two, kept=1)
    write(log, "b")

    def first(*_: object) -> None:
        monkeypatch.undo()
        write(log, "c")

    monkeypatch.setattr("app.access.audit.fcntl.flock", first)
    write(log, "d")
    assert read(log) == ["d", "c", "b", "a"]
