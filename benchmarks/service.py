"""Our own service, run as a user runs it: a process, spoken to over HTTP."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.cell.sample import make_sample_cell
from benchmarks.containers import Container
from benchmarks.processes import API, REDIS, WORKER, children
from benchmarks.volumes import Volume

_POLL = 0.25  # as a person's client would; polling more often would be measured too
_START_LIMIT = 60.0
_STOP_LIMIT = 60.0
_BANNER = re.compile(r"on (http://\S+) ")
_PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Run:
    """Hold what one job took, in seconds as a user sees them and as the job says; bytes of files, and the archive's."""

    seconds: float
    job_seconds: float
    bytes: int
    size: int | None = None


class Service:
    """Speak to the running service, whose archives are in `archives`."""

    def __init__(self, address: str, token: str, pids: dict[str, int], archives: Path) -> None:
        self.address = address
        self.pids = pids
        self.archives = archives
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def back_up(self, service_id: str, *, passphrase: str | None) -> Run:
        """Back up the cell with this service's volume, wait for the end, check it, and delete the archive."""
        job, run = self._job("/api/config/backup", {"services": [service_id], **_lock(passphrase)})
        self.delete(job["backup_id"])
        return Run(run.seconds, run.job_seconds, job["result"]["bytes"], job["result"]["size"])

    def archive(self, service_id: str, *, passphrase: str | None = None) -> Path:
        """Make an archive of this service's volume alone, and keep it."""
        wanted = {"services": [service_id], "components": [], **_lock(passphrase)}
        job, _ = self._job("/api/config/backup", wanted)
        return self.archives / str(job["result"]["file_name"])

    def restore(self, archive: Path, service_id: str, *, safety: str, passphrase: str | None = None) -> Run:
        """Restore this service's volume, wait for the end, and delete what was saved before."""
        wanted = {"services": [service_id], "components": [], "safety": safety, **_lock(passphrase)}
        job, run = self._job(f"/api/config/restore/{archive.name.partition('.')[0]}", wanted)
        if saved := job["result"].get("safety_backup_id"):
            self.delete(saved)
        return run

    def delete(self, backup_id: str) -> None:
        """Delete an archive."""
        with closing(self._connection()) as connection:
            self._call(connection, "DELETE", f"/api/config/backups/{backup_id}")

    def _job(self, path: str, wanted: dict[str, Any]) -> tuple[dict[str, Any], Run]:
        """Run a job to its end, and tell how long it took."""
        with closing(self._connection()) as connection:
            begun = time.time()
            accepted = self._call(connection, "POST", path, wanted)
            while (job := self._call(connection, "GET", accepted["status_url"]))["finished_at"] is None:
                time.sleep(_POLL)
        if job["state"] != "succeeded":
            raise SystemExit(f"The {job['kind']} ended as {job['state']}: {_why(job)}")
        started, finished = (datetime.fromisoformat(job[key]) for key in ("started_at", "finished_at"))
        # to the job's own end and not to the poll that saw it: both clocks are this host's
        seconds = finished.timestamp() - begun
        return job, Run(seconds, (finished - started).total_seconds(), job["progress"]["bytes_done"])

    def _connection(self) -> HTTPConnection:
        return HTTPConnection(urlsplit(self.address).netloc, timeout=60)

    def wait_until_ready(self) -> None:
        """Wait until the worker has reported itself."""
        deadline = time.monotonic() + _START_LIMIT
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise SystemExit("The service did not become ready.")
            time.sleep(_POLL)

    def _is_ready(self) -> bool:
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        connection.request("GET", "/ready", headers=self.headers)
        status = connection.getresponse().status
        connection.close()
        return status == 200

    def _call(self, connection: HTTPConnection, method: str, path: str, body: Any = None) -> Any:
        connection.request(method, path, None if body is None else json.dumps(body), self.headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path} gave {answer.status}: {content.decode(errors='replace')}")
        return json.loads(content) if content else None


def _lock(passphrase: str | None) -> dict[str, Any]:
    return {} if passphrase is None else {"passphrase": passphrase}


def _why(job: dict[str, Any]) -> str:
    faults = [job["error"], *(part.get("error") for part in job["components"])]
    return " ".join(fault["message"] for fault in faults if fault) or "it does not say why"


def service_id(container: Container, volume: Volume) -> str:
    """Name the service of the cell that has this volume in this container."""
    return f"bench-{volume.key}-{container.tar}"


@contextmanager
def running_service(
    folder: Path, containers: list[Container], volumes: list[Volume], **settings: object
) -> Iterator[Service]:
    """Run API and worker, with a server of their own, over a sample cell whose services have these volumes."""
    make_sample_cell(folder / "cell")
    for container in containers:
        for volume in volumes:
            _install(folder / "cell", container, volume)
    log = folder / "service.log"
    process = _start(folder, log, settings)
    try:
        address = _address(process, log)
        token = (folder / "state" / "api-token").read_text().strip()
        service = Service(address, token, _pids(process), folder / "backups")
        service.wait_until_ready()
        yield service
    finally:
        _stop(process)


def _start(folder: Path, log: Path, settings: Mapping[str, object]) -> subprocess.Popen[bytes]:
    given = {
        "CELL_BACKUP_CELL_ROOT": str(folder / "cell"),
        "CELL_BACKUP_BACKUP_DIR": str(folder / "backups"),
        "CELL_BACKUP_STATE_DIR": str(folder / "state"),
        "CELL_BACKUP_PORT": "0",
        "CELL_BACKUP_LOG_LEVEL": "WARNING",
        "CELL_BACKUP_REGENERATE": "off",  # cell-caddy and the like of this host are another cell's
        "PYTHONPATH": str(_PROJECT),
        **{f"CELL_BACKUP_{name.upper()}": str(value) for name, value in settings.items()},
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CELL_BACKUP_")}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"],
            cwd=folder,
            env={**inherited, **given},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C is for the benchmarks, which then end it in order
        )


def _install(cell: Path, container: Container, volume: Volume) -> None:
    manifest = {
        "schema_version": 3,
        "kind": "store",
        "id": service_id(container, volume),
        "name": volume.title,
        "version": "1",
        "container_name": container.name,
        "capabilities": {"has_storage": True},
        "backup": {"volumes": [{"name": volume.key, "path": container.path(volume)}]},
    }
    folder = cell / "data/services" / service_id(container, volume)
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        if found := _BANNER.search(log.read_text()):
            return found[1]
        time.sleep(_POLL)
    raise SystemExit(f"The service did not start:\n{log.read_text()}")


def _pids(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Find the processes of the service: the worker starts beside the API, so it may take a moment."""
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline:
        found = {API: process.pid}
        for pid, command in children(process.pid).items():
            found |= {WORKER: pid} if "workers.main" in command else {REDIS: pid}
        if WORKER in found and REDIS in found:
            return found
        time.sleep(_POLL)
    raise SystemExit("The service has no worker, or no server of its own.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
