"""A command is left while its job waits: Ctrl-C, a lost service, a cancelled job."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.commands import PASSPHRASE, Caller, begun, interrupt, until_queued
from tests.support.redis_server import redis_server
from tests.support.service import CLI, Place, running, running_service


@pytest.fixture
def redis_url() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


def test_ctrl_c_leaves_the_job_running_and_says_so(place: Place, redis_url: str) -> None:
    with running_service(place, "api", redis_url=redis_url) as service:
        caller = Caller(place, service, [])
        with begun(caller, "backup", "--services", "") as process:
            assert process.stderr is not None
            job_id = process.stderr.readline().decode().split()[1]
            code, said = interrupt(process)
        assert code == 130
        assert f"cell-backup follow {job_id}" in said
        assert "Traceback" not in said
        assert service.job(job_id)["state"] == "queued"
        with running(place, "worker", redis_url=redis_url):
            assert caller.lines("follow", job_id)[-1] == "succeeded"


def test_a_cancelled_job_ends_with_1_for_whoever_follows(place: Place, redis_url: str) -> None:
    with running_service(place, "api", redis_url=redis_url) as service:
        caller = Caller(place, service, [])
        secret = str(caller.secret())
        with begun(caller, "backup", "--services", "", "--json", "--passphrase-file", secret) as process:
            job_id = until_queued(service)
            started_with = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            assert caller.lines("cancel", job_id) == ["cancelled"]
            out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (1, b"")
        assert json.loads(out)["error"]["code"] == "cancelled"
        token = (place.state / "api-token").read_bytes().strip()
        for hidden in (token, PASSPHRASE.encode()):
            assert hidden not in started_with + out


def test_ctrl_c_at_the_question_ends_the_command(place: Place) -> None:
    with running_service(place) as service:
        caller = Caller(place, service, [])
        locked = caller.backup("--passphrase-file", caller.secret())
        before = service.get("/api/jobs")["total"]
        ours, theirs = pty.openpty()
        try:
            words = [*CLI, "verify", locked]
            with subprocess.Popen(
                words, env=caller.environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
            ) as process:
                os.close(theirs)
                screen = b""
                while b"Passphrase: " not in screen:
                    screen += os.read(ours, 1000)
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == 130
        finally:
            os.close(ours)
        assert service.get("/api/jobs")["total"] == before
