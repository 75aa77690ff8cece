"""Our own service, run as a user runs it: a process, spoken to over HTTP."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
class Backup:
    """Hold what one backup took, in seconds as a user sees them and as the job says; bytes saved, and the archive's."""

    seconds: float
    job_seconds: float
    bytes: int
    size: int


class Service:
    """Speak to the running service."""

    def __init__(self, address: str, token: str, pids: dict[str, int]) -> None:
        self.address = address
        self.pids = pids
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def back_up(self, service_id: str, *, passphrase: str | None) -> Backup:
        """Back up the cell with this service's volume, wait for the end, check it, and delete the archive."""
        wanted: dict[str, Any] = {"services": [service_id]}
        if passphrase is not None:
            wanted["passphrase"] = passphrase
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        begun = time.time()
        accepted = self._call(connection, "POST", "/api/config/backup", wanted)
        while (job := self._call(connection, "GET", accepted["status_url"]))["finished_at"] is None:
            time.sleep(_POLL)
        if job["state"] != "succeeded":
            raise SystemExit(f"The backup ended as {job['state']}: {_why(job)}")
        self._call(connection, "DELETE", f"/api/config/backups/{job['backup_id']}")
        connection.close()
        started, finished = (datetime.fromisoformat(job[key]) for key in ("started_at", "finished_at"))
        result = job["result"]
        # to the job's own end and not to the poll that saw it: both clocks are this host's
        seconds = finished.timestamp() - begun
        return Backup(seconds, (finished - started).total_seconds(), result["bytes"], result["size"])

    def wait_until_ready(self) -> None:
        """Wait until the worker has reported itself."""
        deadline = time.monotonic() + _START_LIMIT
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise SystemExit("The service did not become ready.")
            time.sleep(_POLL)

    def _is_ready(self) -> bool:
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        connection.request("GET", "/ready", headers=self._headers)
        status = connection.getresponse().status
        connection.close()
        return status == 200

    def _call(self, connection: HTTPConnection, method: str, path: str, body: Any = None) -> Any:
        connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path} gave {answer.status}: {content.decode(errors='replace')}")
        return json.loads(content) if content else None


def _why(job: dict[str, Any]) -> str:
    faults = [job["error"], *(part.get("error") for part in job["components"])]
    return " ".join(fault["message"] for fault in faults if fault) or "it does not say why"


def service_id(container: Container, volume: Volume) -> str:
    """Name the service of the cell that has this volume in this container."""
    return f"bench-{volume.key}-{container.tar}"


@contextmanager
def running_service(folder: Path, containers: list[Container], volumes: list[Volume]) -> Iterator[Service]:
    """Run API and worker, with a server of their own, over a sample cell whose services have these volumes."""
    make_sample_cell(folder / "cell")
    for container in containers:
        for volume in volumes:
            _install(folder / "cell", container, volume)
    log = folder / "service.log"
    process = _start(folder, log)
    try:
        address = _address(process, log)
        token = (folder / "state" / "api-token").read_text().strip()
        service = Service(address, token, _pids(process))
        service.wait_until_ready()
        yield service
    finally:
        _stop(process)


def _start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    given = {
        "CELL_BACKUP_CELL_ROOT": str(folder / "cell"),
        "CELL_BACKUP_BACKUP_DIR": str(folder / "backups"),
        "CELL_BACKUP_STATE_DIR": str(folder / "state"),
        "CELL_BACKUP_PORT": "0",
        "CELL_BACKUP_LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(_PROJECT),
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
