"""The command line against a running service: a cell, a service, and who calls it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.service.terminal import Session, answer_on_terminal
from tests.support.service import CLI, Client, Place, running_service, sample_place
from tests.support.waiting import eventually

PASSPHRASE = "Grüße, correct horse"


@dataclass(frozen=True, slots=True)
class Caller:
    """Call one service by the command line; everything that was said is kept in `said`."""

    place: Place
    service: Client
    said: list[str]

    @property
    def environment(self) -> dict[str, str]:
        return self.place.environment(url=self.service.address)

    def __call__(
        self,
        *words: str | Path,
        expect: int = 0,
        data: bytes = b"",
        fds: Sequence[int] = (),
        **environment: str,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command in a pipe and expect its exit code."""
        done = subprocess.run(
            [*CLI, *map(str, words)],
            env=self.environment | environment,
            cwd=self.place.home,
            input=data,
            pass_fds=fds,
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.said.append(done.stdout.decode(errors="replace") + done.stderr.decode())
        assert done.returncode == expect, f"{words}: {done.returncode}\n{self.said[-1]}\n{self.place.tail()}"
        return done

    def json(self, *words: str | Path, expect: int = 0, **options: Any) -> Any:
        """Run one command with --json and give its one document."""
        return json.loads(self(*words, "--json", expect=expect, **options).stdout)

    def lines(self, *words: str | Path, expect: int = 0, **options: Any) -> list[str]:
        """Run one command and give what it said on standard output."""
        return self(*words, expect=expect, **options).stdout.decode().splitlines()

    def refused(self, *words: str | Path, expect: int = 5, **environment: Any) -> str:
        """Run one command that fails, says nothing on standard output, and give what it said of it."""
        done = self(*words, expect=expect, **environment)
        assert done.stdout == b""
        assert b"Traceback" not in done.stderr
        return done.stderr.decode()

    def on_terminal(self, *words: str | Path, answers: Sequence[str] = ()) -> Session:
        """Run one command on a terminal, with its standard output in a file."""
        session = answer_on_terminal([*CLI, *words], answers, environment=self.environment, directory=self.place.home)
        self.said.append(session.screen + session.output.decode())
        return session

    def secret(self, text: str = PASSPHRASE) -> Path:
        """Give a file with a passphrase."""
        path = self.place.home / "secret"
        path.write_text(f"{text}\n", encoding="utf-8")
        return path

    def backup(self, *words: str | Path) -> str:
        """Make a backup of files alone and give its id."""
        return str(self.json("backup", "--services", "", *words)["backup_id"])


@contextmanager
def calling() -> Iterator[Caller]:
    """Run a service with a sample cell while the block runs."""
    with sample_place() as place, running_service(place) as service:
        yield Caller(place, service, [])


@contextmanager
def begun(caller: Caller, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one command while the block runs."""
    process = subprocess.Popen(
        [*CLI, *words],
        env=caller.environment,
        cwd=caller.place.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def interrupt(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Press Ctrl-C; give exit code and what was said."""
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    return process.returncode, said.decode()


def until_queued(service: Client) -> str:
    """Wait for a job that waits and give its id."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [job["job_id"] for job in service.get("/api/jobs?state=queued")["jobs"]]
        return bool(found)

    eventually(look, what="a job is queued")
    return found[0]
