"""What is measured: reading to nowhere, what one would run instead, and ours."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.containers import Container
from benchmarks.processes import API, WORKER, CpuClock, peak_memory, reset_peak_memory
from benchmarks.service import Service, service_id
from benchmarks.volumes import Volume

BASELINE = "tar"


@dataclass(frozen=True, slots=True)
class Scene:
    """Hold what the steps of one table have in common: a volume, a container that has it, and room to write."""

    volume: Volume
    container: Container
    service: Service
    folder: Path
    clock: CpuClock


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


def _to_nowhere(scene: Scene) -> Sample:
    return _piped(scene, Path(os.devnull))


def _gzip(scene: Scene) -> Sample:
    return _to_file(scene, ["gzip"])


def _pigz(scene: Scene) -> Sample:
    return _to_file(scene, ["pigz"])


def _pigz_age(scene: Scene) -> Sample:
    key = scene.folder / "age.key"
    _run(["age-keygen", "-o", str(key)])
    recipient = _run(["age-keygen", "-y", str(key)]).strip()
    key.unlink()
    return _to_file(scene, ["pigz"], ["age", "--recipient", recipient])


def _restic(scene: Scene) -> Sample:
    """Back up the same files, as they lie on disk, into a fresh repository, with a cache of its own."""
    with _new_folder(scene.folder / "restic") as folder:
        (folder / "password").write_text(secrets.token_urlsafe())
        given = {"RESTIC_PASSWORD_FILE": str(folder / "password"), "RESTIC_CACHE_DIR": str(folder / "cache")}
        restic = ["restic", "--quiet", "--repo", str(folder / "repository")]
        environment = {**os.environ, **given}
        _run([*restic, "init"], environment)
        before = _settled(scene)
        begun = time.perf_counter()
        _run([*restic, "backup", str(scene.volume.folder)], environment)
        seconds = time.perf_counter() - begun
        size = sum(path.stat().st_size for path in (folder / "repository").rglob("*") if path.is_file())
        return Sample(seconds, scene.clock.since(before), size)


def _plain(scene: Scene) -> Sample:
    return _ours(scene, None)


def _encrypted(scene: Scene) -> Sample:
    return _ours(scene, secrets.token_urlsafe())


STEPS = (
    Step(BASELINE, "`docker exec tar` to nowhere", _to_nowhere),
    Step("gzip", "`… \\| gzip`", _gzip, ("gzip",)),
    Step("pigz", "`… \\| pigz`", _pigz, ("pigz",)),
    Step("age", "`… \\| pigz \\| age`", _pigz_age, ("pigz", "age", "age-keygen")),
    Step("restic", "`restic backup` of the same files on disk", _restic, ("restic",)),
    Step("plain", "cell-backup, plain", _plain, ours=True),
    Step("encrypted", "cell-backup, encrypted", _encrypted, ours=True),
)


def warm_up(scene: Scene) -> None:
    """Read the volume once, so that it is in memory, and check that the engine sees the files that were made here."""
    with subprocess.Popen(scene.container.read(scene.volume), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read = 0
        while piece := process.stdout.read(1 << 20):
            read += len(piece)
    if process.returncode or read < scene.volume.bytes:
        raise SystemExit(
            f"The container gave {read} bytes of {scene.volume.bytes}: the engine does not see this machine's files. "
            "Run the benchmarks where the engine runs, or set TMPDIR to a folder that it can mount."
        )


def _to_file(scene: Scene, *filters: list[str]) -> Sample:
    with _new_folder(scene.folder / "piped") as folder:
        return _piped(scene, folder / "archive", *filters)


def _piped(scene: Scene, target: Path, *filters: list[str]) -> Sample:
    with target.open("wb") as output:
        before = _settled(scene)
        begun = time.perf_counter()
        _run_pipeline([scene.container.read(scene.volume), *filters], output.fileno())
        seconds = time.perf_counter() - begun
    return Sample(seconds, scene.clock.since(before), target.stat().st_size if target.is_file() else None)


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _run_pipeline(commands: Sequence[list[str]], output: int) -> None:
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


def _ours(scene: Scene, passphrase: str | None) -> Sample:
    watched = {name: scene.service.pids[name] for name in (WORKER, API)}
    for pid in watched.values():
        reset_peak_memory(pid)
    before = _settled(scene)
    backup = scene.service.back_up(service_id(scene.container, scene.volume), passphrase=passphrase)
    cpu = scene.clock.since(before)
    if backup.bytes < scene.volume.bytes:
        raise SystemExit(f"The backup saved {backup.bytes} bytes of {scene.volume.bytes}.")
    peaks = {name: peak_memory(pid) for name, pid in watched.items()}
    return Sample(backup.seconds, cpu, backup.size, peaks, backup.job_seconds)


def _settled(scene: Scene) -> dict[str, float]:
    """Let what the step before wrote reach the disk, then read the clock."""
    os.sync()
    return scene.clock.read()


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)
