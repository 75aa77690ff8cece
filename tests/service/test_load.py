"""The load run, small: that it does what it says, and that it sees what goes wrong."""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import wrong_in, wrong_with
from benchmarks.load_counts import Counts, percentile, summary, times
from tests.support.service import PROJECT

CONTENT = b"an archive"
BACKUP: dict[str, Any] = {
    "job_id": "1" * 32,
    "kind": "backup",
    "state": "succeeded",
    "backup_id": "backup-1",
    "error": None,
    "result": {"file_name": "backup-1.tar.gz", "sha256": hashlib.sha256(CONTENT).hexdigest()},
}


def test_many_jobs_at_once_all_succeed() -> None:
    command = [sys.executable, "-m", "benchmarks.load", "--jobs", "60", "--clients", "8"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 jobs in " in done.stdout
    assert "60 x POST 202" in done.stdout
    for timed in ("POST", "GET job", "GET metrics", "wait in the queue", "seen by polling", "seen by the stream"):
        assert timed in done.stdout


@pytest.mark.parametrize(
    ("job", "listed", "content", "words"),
    [
        (BACKUP, {"backup-1"}, CONTENT, []),
        (BACKUP, set(), CONTENT, ["is not listed"]),
        (BACKUP, {"backup-1"}, b"another archive", ["is not what the job wrote"]),
        (BACKUP, {"backup-1"}, None, ["is not what the job wrote"]),
        (BACKUP | {"state": "partial"}, {"backup-1"}, CONTENT, ["ended as partial"]),
        (BACKUP | {"kind": "verify", "state": "failed"}, set(), None, ["ended as failed"]),
        (BACKUP | {"kind": "verify", "result": {}}, set(), None, []),
    ],
    ids=["all is well", "not listed", "changed", "gone", "partial", "failed", "a verification has no archive"],
)
def test_what_is_wrong_with_a_job_is_told(
    tmp_path: Path, job: dict[str, Any], listed: set[str], content: bytes | None, words: list[str]
) -> None:
    if content is not None:
        (tmp_path / "backup-1.tar.gz").write_bytes(content)
    found = list(wrong_with(job, listed, tmp_path))
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_a_traceback_in_the_log_is_told() -> None:
    assert list(wrong_in("job 1 waits\n")) == []
    assert "ValueError" in next(wrong_in("job 1 failed\nTraceback (most recent call last):\nValueError: no\n"))


def test_the_tables_tell_the_middle_and_the_slowest() -> None:
    counts = Counts(ended={"1": {}, "2": {}}, answers=Counter({("POST", 202): 2}))
    for milliseconds in range(1, 102):
        counts.took("POST", milliseconds / 1000)
    assert "| POST | 101 | 51.0 | 100.0 | 101.0 |" in times(counts)
    assert "2 jobs in 4.0 s: 0.5 jobs/s." in summary(counts, 4)
    assert percentile([7.0], 99) == 7.0
