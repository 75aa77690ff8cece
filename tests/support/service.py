"""The real service as processes of its own, and a small HTTP client that drives it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2

from app.cell.sample import make_sample_cell
from app.jobs.embedded import die_with_parent
from tests.support.waiting import eventually

PROJECT = Path(__file__).parents[2]
CLI = (sys.executable, "-m", "app.cli")
ENDED = {"succeeded", "partial", "failed", "cancelled"}
_POLL = 0.02
_STOP_LIMIT = 40.0
_BANNER = re.compile(r" on (http://\S+) ")


@dataclass(frozen=True, slots=True)
class Place:
    """Hold a cell and all that the service keeps of it, in one folder; its name is short, as socket paths are."""

    home: Path

    @property
    def cell(self) -> Path:
        return self.home / "cell"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def backups(self) -> Path:
        return self.home / "archives"

    @property
    def logs(self) -> list[Path]:
        return sorted(self.home.glob("*.out")) + sorted(self.home.glob("*.err"))

    def archives(self) -> list[str]:
        """Name everything in the backup directory, hidden files too."""
        return sorted(path.name for path in self.backups.iterdir()) if self.backups.is_dir() else []

    def environment(self, *, docker_host: str | None = None, **settings: object) -> dict[str, str]:
        """Give the whole environment of a process of this place; no engine unless `docker_host` names one."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        ours = {
            "cell_root": self.cell,
            "backup_dir": self.backups,
            "state_dir": self.state,
            "port": 0,
            "scrypt_n": 1024,
            **settings,
        }
        host = f"unix://{self.home}/no-engine" if docker_host is None else docker_host
        return {
            **kept,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(PROJECT),
            "PYTHONUNBUFFERED": "1",  # what a process says is in its file at once
            "DOCKER_HOST": host,
            **{f"CELL_BACKUP_{name.upper()}": str(value) for name, value in ours.items()},
        }

    def processes(self) -> list[int]:
        """Give the ids of all processes that run for this place, however they are related."""
        mark = f"CELL_BACKUP_STATE_DIR={self.state}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return sorted(found)

    def cli(self, *arguments: str | Path, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run one command of the command line to its end."""
        return subprocess.run(
            [*CLI, *map(str, arguments)],
            env=self.environment(),
            cwd=self.home,
            input=data,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def tail(self) -> str:
        """Give the last lines that each process said."""
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self.logs)


@contextmanager
def sample_place() -> Iterator[Place]:
    """Make a sample cell in a new place; afterwards nothing of the place is left, no process either."""
    place = Place(Path(tempfile.mkdtemp(prefix="cb-", dir="/tmp")))
    try:
        make_sample_cell(place.cell)
        yield place
        assert place.processes() == [], f"processes outlive the service\n{place.tail()}"
    finally:
        for process in place.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(place.home)


class ServiceProcess:
    """One process of the service: `serve`, `api` or `worker`."""

    def __init__(self, place: Place, command: str, environment: dict[str, str]) -> None:
        self.place = place
        self.name = f"{command}-{len(place.logs) // 2}"
        self.out = place.home / f"{self.name}.out"
        self.err = place.home / f"{self.name}.err"
        with self.out.open("xb") as out, self.err.open("xb") as err:
            self.process = subprocess.Popen(
                [*CLI, command],
                env=environment,
                cwd=place.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  # a test run that is killed leaves no service behind
            )

    def client(self) -> "Client":
        """Wait until the service says where it listens, and give a client that has its token."""
        eventually(lambda: self._address() is not None or self.process.poll() is not None, what=f"{self.name} starts")
        address = self._address()
        assert address is not None, f"{self.name} did not start\n{self.place.tail()}"
        return Client(address, (self.place.state / "api-token").read_text().strip(), self.place)

    def _address(self) -> str | None:
        match = _BANNER.search(self.out.read_text())
        return match and match[1]

    def stop(self) -> None:
        """End the process as systemd or Ctrl-C would, and expect that it ends well."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(_STOP_LIMIT)
        assert code == 0, f"{self.name} ended with {code}\n{self.place.tail()}"

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(
    place: Place, command: str = "serve", *, docker_host: str | None = None, **settings: object
) -> Iterator[ServiceProcess]:
    """Run one process while the block runs; a test may end it earlier by `kill`."""
    service = ServiceProcess(place, command, place.environment(docker_host=docker_host, **settings))
    try:
        yield service
        if service.process.returncode is None:
            service.stop()
    finally:
        service.kill()


@contextmanager
def running_service(
    place: Place, command: str = "serve", *, docker_host: str | None = None, **settings: object
) -> Iterator["Client"]:
    """Run `serve` or `api` while the block runs, and give a client of it."""
    with (
        running(place, command, docker_host=docker_host, **settings) as service,
        service.client() as client,
    ):
        yield client


class Client:
    """Talk to the service; every answer that is not expected fails with the last lines of its log."""

    def __init__(self, address: str, token: str, place: Place) -> None:
        self.address = address
        self.place = place
        self.answers: list[httpx2.Response] = []
        self._http = httpx2.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, *, expect: int = 200, **options: Any) -> httpx2.Response:
        """Send one request and expect one status; every answer is kept in `answers`."""
        answer = self._http.request(method, path, **options)
        self.answers.append(answer)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}\n{self.place.tail()}"
        return answer

    def get(self, path: str, **options: Any) -> Any:
        """Get a JSON document."""
        return self.ask("GET", path, **options).json()

    def start_backup(self, **wanted: Any) -> dict[str, Any]:
        """Queue a backup and give the answer; without any wish the body is empty."""
        options: dict[str, Any] = {"json": wanted} if wanted else {}
        answer: dict[str, Any] = self.ask("POST", "/api/config/backup", expect=202, **options).json()
        return answer

    def backup(self, **wanted: Any) -> dict[str, Any]:
        """Make a backup and give the job as it ended."""
        return self.wait_for(self.start_backup(**wanted)["job_id"])

    def verify(self, backup_id: str, **unlocking: Any) -> dict[str, Any]:
        """Verify a backup and give the job as it ended."""
        options: dict[str, Any] = {"json": unlocking} if unlocking else {}
        answer = self.ask("POST", f"/api/config/backups/{backup_id}/verify", expect=202, **options).json()
        return self.wait_for(answer["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Give a job as it is now."""
        answer: dict[str, Any] = self.get(f"/api/jobs/{job_id}")
        return answer

    def follow(self, job_id: str, *, until: Sequence[str] = (), limit: float = 60) -> Iterator[dict[str, Any]]:
        """Give the job again and again until it has ended, or is in one of the states of `until`."""
        deadline = time.monotonic() + limit
        while True:
            job = self.job(job_id)
            yield job
            if job["state"] in ENDED or job["state"] in until:
                return
            assert time.monotonic() < deadline, f"{job} after {limit} s\n{self.place.tail()}"
            time.sleep(_POLL)

    def wait_for(self, job_id: str, *, limit: float = 60) -> dict[str, Any]:
        """Give the job once it has ended."""
        *_, job = self.follow(job_id, limit=limit)
        return job

    def wait_until_running(self, job_id: str) -> dict[str, Any]:
        """Give the job once it runs."""
        *_, job = self.follow(job_id, until=["running"])
        assert job["state"] == "running", f"{job}\n{self.place.tail()}"
        return job
