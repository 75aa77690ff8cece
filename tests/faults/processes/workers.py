"""Worker processes that can be held at a stage, killed, stopped and let go on."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from app.jobs.embedded import die_with_parent
from tests.faults.processes.gated import GATE, LAST, REACHED, WANTED
from tests.support.service import Place
from tests.support.waiting import eventually

_STOP_LIMIT = 40.0
_REACHED_LIMIT = 90.0  # the last stages of a restore come after all others


class Gate:
    """Say at which stage the next worker that comes there stands still."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def close_at(self, place: str) -> None:
        """Have a worker stand still at a stage."""
        self.open()
        draft = self.folder / "draft"
        draft.write_text(place)
        draft.rename(self.folder / WANTED)

    def open(self) -> None:
        """Let every worker pass."""
        for name in (WANTED, REACHED):
            (self.folder / name).unlink(missing_ok=True)

    @property
    def last(self) -> str:
        """Name the stage that began last."""
        return (self.folder / LAST).read_text()

    @property
    def reached(self) -> int | None:
        """Give the process that stands at the gate, stopped."""
        try:
            process = int((self.folder / REACHED).read_text())
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return None
        return process if state == "T" else None


class Worker:
    """One worker process of a place."""

    def __init__(self, place: Place, gate: Gate, environment: dict[str, str]) -> None:
        number = len(list(place.home.glob("worker-*.err")))
        self.log = place.home / f"worker-{number}.err"
        with self.log.open("xb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.processes.gated"],
                env={**environment, GATE: str(gate.folder)},
                cwd=place.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509  # a test run that is killed leaves none behind
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Tell whether the process is there, stopped or not."""
        return self.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal, if there is still somebody to get it."""
        if self.alive:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End the process as systemd would and give its exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(_STOP_LIMIT)

    def says(self) -> str:
        """Give the end of what the process said."""
        return f"--- {self.log.name}\n{self.log.read_text(errors='replace')[-4000:]}"


class Workers:
    """All worker processes of a place, the newest last."""

    def __init__(self, place: Place, settings: dict[str, Any]) -> None:
        self._place = place
        self._settings = settings
        self.gate = Gate(place.home / "gate")
        self.all: list[Worker] = []

    def start(self) -> Worker:
        """Start one more."""
        worker = Worker(self._place, self.gate, self._place.environment(**self._settings))
        self.all.append(worker)
        return worker

    def held(self, place: str) -> Worker:
        """Give the worker that has come to the gate; fail where none comes."""
        what = f"a worker stands at {place}\n{self.say()}"
        eventually(lambda: self.gate.reached is not None, what=what, limit=_REACHED_LIMIT)
        process = self.gate.reached
        return next(worker for worker in self.all if worker.pid == process)

    def only(self, kept: Worker) -> None:
        """Kill all others."""
        for worker in self.all:
            if worker is not kept:
                worker.kill()
        self.all = [kept]

    def end(self) -> None:
        """Kill every one."""
        for worker in self.all:
            worker.kill()
        self.all.clear()

    def say(self) -> str:
        """Give what the last two said."""
        return "\n".join(worker.says() for worker in self.all[-2:])
