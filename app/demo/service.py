"""The service as a process of its own, and a small client for its HTTP interface."""

import http.client
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import app
from app.api.catalog import BackupModel
from app.api.jobs import JobDocument
from app.errors import Code, InputError, UnavailableError
from app.jobs.embedded import die_with_parent

_START_LIMIT = 60.0
_STOP_LIMIT = 40.0
_ANSWER_LIMIT = 30.0
_JOB_LIMIT = 300.0
_PAUSE = 0.1
_HINT = "Its log is above."


@dataclass(frozen=True, slots=True)
class Place:
    """Say what the service works on, and where what it says goes."""

    cell: Path
    archives: Path
    state: Path
    log: Path


@contextmanager
def running_service(place: Place, *, with_engine: bool) -> Iterator["Client"]:
    """Run `cell-backup serve` on a free port while the block runs.

    Raises UnavailableError where it does not start.
    """
    with place.log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"],
            env=_environment(place, with_engine=with_engine),
            cwd=place.cell.parent,  # where no .env lies that speaks to another cell
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for us; we end it when we are done
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - no other thread runs yet
        )
    try:
        address = _address(process)
        yield Client(address, (place.state / "api-token").read_text(encoding="ascii").strip())
    finally:
        _stop(process)


def _environment(place: Place, *, with_engine: bool) -> dict[str, str]:
    # an address that cannot be used would keep the service from starting, and here no engine is wanted
    foreign = ("CELL_BACKUP_",) if with_engine else ("CELL_BACKUP_", "DOCKER_")
    code = str(Path(app.__file__).resolve().parent.parent)
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "CELL_BACKUP_CELL_ROOT": str(place.cell),
        "CELL_BACKUP_BACKUP_DIR": str(place.archives),
        "CELL_BACKUP_STATE_DIR": str(place.state),
        "CELL_BACKUP_PORT": "0",
        "CELL_BACKUP_REGENERATE": "off",  # cell-caddy and the like of this host are another cell's
        "PYTHONPATH": os.pathsep.join([code, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _address(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_LIMIT)
    if not ready:
        raise _trouble(f"The service did not start within {_START_LIMIT:.0f} seconds.")
    line = process.stdout.readline().decode(errors="replace")
    found = re.search(r"http://\S+", line)
    if found is None:
        raise _trouble("The service ended before it had begun.")
    return found.group()


def _stop(process: subprocess.Popen[bytes]) -> None:
    with process:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()


def _trouble(message: str) -> UnavailableError:
    return UnavailableError(Code.INTERNAL, message, hint=_HINT)


class Client:
    """Speak to the service as any other client would."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self._token = token

    def start(self, path: str, body: dict[str, Any]) -> str:
        """POST what starts a job and give the job's id; raise InputError where it is refused."""
        job_id: str = json.loads(self._send("POST", path, json.dumps(body)))["job_id"]
        return job_id

    def wait(self, job_id: str, show: Callable[[JobDocument], None]) -> JobDocument:
        """Poll a job until it has ended, showing how far it is; raise UnavailableError where it never ends."""
        deadline = time.monotonic() + _JOB_LIMIT
        while time.monotonic() < deadline:
            job = JobDocument.model_validate_json(self._send("GET", f"/api/jobs/{job_id}"))
            show(job)
            if job.state.ended:
                return job
            time.sleep(_PAUSE)
        raise _trouble(f"The job did not end within {_JOB_LIMIT:.0f} seconds.")

    def backup(self, backup_id: str) -> BackupModel:
        """Give what the catalog says of an archive."""
        return BackupModel.model_validate_json(self._send("GET", f"/api/config/backups/{backup_id}"))

    def delete(self, backup_id: str) -> None:
        """Delete an archive."""
        self._send("DELETE", f"/api/config/backups/{backup_id}")

    def _send(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            with closing(http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=_ANSWER_LIMIT)) as line:
                line.request(method, path, body, headers)
                answer = line.getresponse()
                content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise _trouble(f"The service does not answer: {error}.") from error
        if answer.status >= 400:
            problem = json.loads(content)
            raise InputError(Code(problem["code"]), problem["detail"], hint=problem["hint"])
        return content
