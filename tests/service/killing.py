"""Kills restores: runs them in processes of their own, each of which dies a system call later than the one before.

Run as `python -m tests.service.killing ARCHIVE CELL FOLDER STEP`: for n = 1, 1 + STEP, … it copies the cell to
FOLDER/n/cell, restores the archive there and dies before the n-th change to the file system since the restore was
prepared; dies again while the next process puts the cell back; lets a third process do so in peace. It prints a line of
JSON for each n, and stops with the first restore that comes to its end.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workers.alone
from app.cell.restoring.journal import Journal, Kind

# raised before the system call is made; pwrite has no such event, and is what writes the journal
EVENTS = {
    "open",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.truncate",
    "os.utime",
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_AGAIN = 5


class Countdown:
    """Kill this process before its n-th change to files below a folder; `armed` once changes count."""

    def __init__(self, number: int, below: Path, *, armed: bool) -> None:
        self._left = number
        self._below = str(below)
        self.armed = armed
        self._pwrite = os.pwrite
        sys.addaudithook(self._hear)
        os.pwrite = self._torn  # type: ignore[assignment]  # of what it takes, the journal needs this

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed or event not in EVENTS:
            return
        if event == "open" and (not isinstance(args[2], int) or not args[2] & _WRITES):
            return
        if isinstance(args[0], str) and args[0].startswith("/") and not args[0].startswith(self._below):
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _torn(self, descriptor: int, data: bytes, offset: int) -> int:
        """Count a write, and let half of it get through before the end."""
        if self.armed and self._left == 1:
            self._pwrite(descriptor, data[: len(data) // 2], offset)
        self._hear("os.truncate", (descriptor,))
        return self._pwrite(descriptor, data, offset)


def in_a_process(work: Callable[[], int], output: Path) -> int:
    """Do something in a fork of this process; give its exit code, negative for the signal that killed it."""
    child = os.fork()
    if child == 0:
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = 70
        try:
            code = work()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def restore(archive: Path, home: Path, *options: str) -> int:
    """Do what the command does, for the cell of this home."""
    os.environ["CELL_BACKUP_STATE_DIR"] = str(home / "state")
    os.environ["CELL_BACKUP_BACKUP_DIR"] = str(home / "archives")
    os.environ["DOCKER_HOST"] = f"unix://{home}/no-engine"
    words = ["restore", str(archive), "--cell-root", str(home / "cell"), "--regenerate", "off", "--services", ""]
    sys.argv = ["cell-backup", *words, *options]
    return workers.alone.main()


def killed_restore(archive: Path, home: Path, number: int) -> int:
    countdown = Countdown(number, home / "cell", armed=False)
    note = Journal.note

    def noted(self: Journal, kind: str, **facts: Any) -> None:
        note(self, kind, **facts)
        countdown.armed = countdown.armed or kind == Kind.PREPARED

    Journal.note = noted  # type: ignore[method-assign]
    return restore(archive, home)


def killed_recovery(archive: Path, home: Path, number: int) -> int:
    Countdown(number, home / "cell", armed=True)
    return restore(archive, home, "--dry-run")


def kill(archive: Path, cell: Path, home: Path, number: int) -> dict[str, Any]:
    """Kill one restore, and the process that comes next, and let a third one bring it to an end."""
    home.mkdir()
    subprocess.run(["cp", "-a", cell, home / "cell"], check=True)
    told = home / "told"
    first = in_a_process(lambda: killed_restore(archive, home, number), home / "first")
    second = third = None
    if first < 0:
        subprocess.run(["cp", "-a", home / "cell", home / "left"], check=True)
        second = in_a_process(lambda: killed_recovery(archive, home, 1 + number * 7 % 23), home / "second")
        third = in_a_process(lambda: restore(archive, home, "--dry-run"), told)
    said = told.read_text(errors="replace") if told.exists() else ""
    return {"number": number, "first": first, "second": second, "third": third, "said": said}


def main() -> None:
    archive, cell, folder, step = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    number = 1
    while True:
        outcome = kill(archive, cell, folder / str(number), number)
        print(json.dumps(outcome), flush=True)  # noqa: T201
        if outcome["first"] >= 0:
            return
        number += step


if __name__ == "__main__":
    main()
