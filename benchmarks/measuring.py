"""What all steps have in common: the scene, a sample, and running commands."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.containers import Container
from benchmarks.processes import API, WORKER, CpuClock, peak_memory, reset_peak_memory
from benchmarks.service import Run, Service
from benchmarks.volumes import Volume


@dataclass(frozen=True, slots=True)
class Scene:
    """Hold what the steps of one table have in common: a volume, a container that has it, and room to write.

    `archive` is one of the volume, for the steps that restore it.
    """

    volume: Volume
    container: Container
    service: Service
    folder: Path
    clock: CpuClock
    archive: Path | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold what one run of a step took; `size` is what it left on disk, `peaks` and `job_seconds` are ours only."""

    seconds: float
    cpu: dict[str, float] = field(default_factory=dict)
    size: int | None = None
    peaks: dict[str, int] = field(default_factory=dict)
    job_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Describe one step; `needs` are the programs it takes, `ours` tells whether the service does it."""

    key: str
    title: str
    run: Callable[[Scene], Sample]
    needs: tuple[str, ...] = ()
    ours: bool = False

    @property
    def why_not(self) -> str | None:
        """Say why this step cannot be run here; None where it can."""
        missing = [name for name in self.needs if shutil.which(name) is None]
        return f"{' and '.join(missing)} not installed" if missing else None


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def run_pipeline(commands: Sequence[list[str]], output: int) -> None:
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands, start=1):
            source = running[-1].stdout if running else None
            target = output if number == len(commands) else subprocess.PIPE
            running.append(subprocess.Popen(command, stdin=source or subprocess.DEVNULL, stdout=target))
            if source is not None:
                source.close()  # so that a filter that dies ends the command before it
        failed = [command[0] for command, process in zip(commands, running, strict=True) if process.wait()]
    except BaseException:
        for process in running:
            process.kill()
        raise
    if failed:
        raise SystemExit(f"{' and '.join(failed)} failed; what was said is above.")


def watched(scene: Scene, work: Callable[[], Run]) -> Sample:
    """Let the service do something, and tell what it cost."""
    pids = {name: scene.service.pids[name] for name in (WORKER, API)}
    for pid in pids.values():
        reset_peak_memory(pid)
    before = settled(scene)
    done = work()
    cpu = scene.clock.since(before)
    peaks = {name: peak_memory(pid) for name, pid in pids.items()}
    return Sample(done.seconds, cpu, done.size, peaks, done.job_seconds)


def settled(scene: Scene) -> dict[str, float]:
    """Let what the step before wrote reach the disk, then read the clock."""
    os.sync()
    return scene.clock.read()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)
