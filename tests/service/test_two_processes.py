"""API and worker as two processes with a Redis between them, and what happens when one of them goes away."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.service.stalling import CALENDAR, StallingEngine, stalling_engine
from tests.support.redis_server import RedisServer, free_port, redis_server
from tests.support.service import Client, Place, ServiceProcess, running, running_service
from tests.support.waiting import eventually

PASSWORD = "p@ss/w ö:#?%41"

Job = dict[str, Any]


@pytest.fixture
def engine(place: Place) -> Iterator[StallingEngine]:
    with stalling_engine(place.home) as made:
        yield made


def stalled(service: Client, engine: StallingEngine, **wanted: Any) -> Job:
    """Start a backup and give it once a part of its archive is written and its volume's stream has stalled."""
    engine.stall()
    job_id = service.start_backup(**wanted)["job_id"]
    for job in service.follow(job_id):
        if job["stage"] == "volumes" and job["progress"]["bytes_done"] > 400_000:
            assert (job["state"], job["components"][-1]["outcome"]) == ("running", "running")
            assert partial_files(service.place)
            return job
    raise AssertionError(service.place.tail())


def partial_files(place: Place) -> list[str]:
    return [name for name in place.archives() if name.endswith(".partial")]


def check_nothing_is_left(service: Client, job: Job) -> None:
    assert service.place.archives() == []
    assert service.get("/api/config/backups") == {"backups": [], "total": 0}
    assert service.job(job["job_id"])["result"] is None


@pytest.fixture(params=["tcp", "unix"])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, str]]:
    """Give a server with a password of the worst sort, and the address of its database 3."""
    port = free_port() if request.param == "tcp" else 0
    with redis_server(port=port, password=PASSWORD) as server:
        yield server, f"{server.url}/3" if port else f"{server.url}?db=3"


def test_a_backup_goes_through_any_redis(place: Place, address: tuple[RedisServer, str]) -> None:
    server, url = address
    with running_service(place, "api", redis_url=url) as service, running(place, "worker", redis_url=url):
        job = service.backup(passphrase="correct horse", services=[])
        assert job["state"] == "succeeded"
        assert service.verify(job["backup_id"], passphrase="correct horse")["state"] == "succeeded"
        spaces = server.client().info("keyspace")
        assert isinstance(spaces, dict)
        assert list(spaces) == ["db3"]
        check_password_is_no_argument(place)
    assert PASSWORD not in place.tail()


def check_password_is_no_argument(place: Place) -> None:
    running_now = place.processes()
    assert len(running_now) == 2
    for process in running_now:
        assert b"redis" not in Path(f"/proc/{process}/cmdline").read_bytes()


def test_a_wrong_password_is_said_without_the_right_or_the_wrong_one(place: Place) -> None:
    with redis_server(port=free_port(), password=PASSWORD) as server:
        url = f"redis://:hunter22@127.0.0.1:{server.port}"
        with running_service(place, "api", redis_url=url) as service:
            refused = service.ask("POST", "/api/config/backup", expect=503)
            assert refused.json()["code"] == "redis_unavailable"
            assert "hunter22" not in refused.text
    assert "hunter22" not in place.tail()


def test_jobs_wait_for_the_worker_unless_they_are_cancelled(place: Place, redis_url: str) -> None:
    with running_service(place, "api", redis_url=redis_url) as service:
        first, second = (service.start_backup(services=[], passphrase="correct horse")["job_id"] for _ in range(2))
        assert service.job(second)["state"] == "queued"
        assert service.ask("GET", "/ready", expect=503).json()["ready"] is False
        service.ask("POST", f"/api/jobs/{first}/cancel", expect=202)
        with running(place, "worker", redis_url=redis_url):
            assert service.wait_for(second)["state"] == "succeeded"
            assert service.get("/ready")["ready"] is True
        assert service.job(first)["state"] == "cancelled"
        assert len(service.get("/api/config/backups")["backups"]) == 1


def test_the_api_may_restart_while_a_job_runs(place: Place, redis_url: str, engine: StallingEngine) -> None:
    with running(place, "worker", redis_url=redis_url, docker_host=engine.docker_host):
        with running_service(place, "api", redis_url=redis_url, docker_host=engine.docker_host) as service:
            before = stalled(service, engine, services=["mail"])
        with running_service(place, "api", redis_url=redis_url, docker_host=engine.docker_host) as service:
            job = service.job(before["job_id"])
            assert (job["state"], job["started_at"]) == ("running", before["started_at"])
            engine.die()
            done = service.wait_for(job["job_id"])
            mail = done["components"][-1]
            assert (done["state"], mail["outcome"], mail["error"]["code"]) == ("partial", "failed", "stream_cut")
            assert service.verify(done["backup_id"])["state"] == "succeeded"


def test_a_running_job_is_cancelled_and_leaves_nothing(place: Place, redis_url: str, engine: StallingEngine) -> None:
    with (
        running(place, "worker", redis_url=redis_url, docker_host=engine.docker_host),
        running_service(place, "api", redis_url=redis_url, docker_host=engine.docker_host) as service,
    ):
        job = stalled(service, engine, services=["calendar"])
        assert engine.state(CALENDAR[0]) == "paused"
        assert service.ask("POST", f"/api/jobs/{job['job_id']}/cancel", expect=202).json()["cancel_requested"] is True
        done = service.wait_for(job["job_id"])
        assert (done["state"], done["error"]["code"]) == ("cancelled", "cancelled")
        assert engine.state(CALENDAR[0]) == "running"
        check_nothing_is_left(service, job)
        engine.flow()
        assert service.backup(services=["mail", "calendar"])["state"] == "succeeded"


def test_a_worker_that_is_told_to_end_ends_its_job_cleanly(
    place: Place, redis_url: str, engine: StallingEngine
) -> None:
    with running_service(place, "api", redis_url=redis_url, docker_host=engine.docker_host) as service:
        with running(place, "worker", redis_url=redis_url, docker_host=engine.docker_host) as worker:
            job = stalled(service, engine, services=["calendar"])
            worker.stop()
            assert "Traceback" not in worker.err.read_text()
        done = service.job(job["job_id"])
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_stopped")
        assert engine.state(CALENDAR[0]) == "running"
        check_nothing_is_left(service, job)
        assert leases(redis_url) == []
        engine.flow()
        with running(place, "worker", redis_url=redis_url, docker_host=engine.docker_host):
            assert service.backup(services=["mail"])["state"] == "succeeded"
        assert service.job(job["job_id"]) == done


def test_a_worker_that_is_told_again_and_again_ends_its_job_as_cleanly(
    place: Place, redis_url: str, engine: StallingEngine
) -> None:
    common: dict[str, Any] = {"redis_url": redis_url, "docker_host": engine.docker_host}
    with running_service(place, "api", **common) as service:
        with running(place, "worker", **common) as worker:
            job = stalled(service, engine, services=["calendar"])
            eventually(lambda: told_to_end(worker), what="the worker has ended")
        done = service.job(job["job_id"])
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_stopped")
        assert engine.state(CALENDAR[0]) == "running"
        check_nothing_is_left(service, job)
        assert leases(redis_url) == []


def leases(redis_url: str) -> list[bytes]:
    with redis.Redis.from_url(redis_url) as client:
        return [key for key in client.scan_iter() if b":lease:" in key]


def told_to_end(worker: ServiceProcess) -> bool:
    worker.process.send_signal(signal.SIGTERM)
    return worker.process.poll() is not None


def test_the_next_worker_tidies_up_after_one_that_was_killed(
    place: Place, redis_url: str, engine: StallingEngine
) -> None:
    common: dict[str, Any] = {"redis_url": redis_url, "docker_host": engine.docker_host, "lease_seconds": 2}
    with running_service(place, "api", **common) as service:
        with running(place, "worker", **common) as worker:
            job = stalled(service, engine, services=["calendar"], passphrase="correct horse")
            worker.kill()
        assert engine.state(CALENDAR[0]) == "paused"
        assert partial_files(place)
        with running(place, "worker", **common):
            done = service.wait_for(job["job_id"])
            assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")
            # the API says so as soon as the lease is over; the worker tidies up as soon as it has the lease
            eventually(lambda: engine.state(CALENDAR[0]) == "running", what="the container runs again")
            eventually(lambda: not partial_files(place), what="the partial file is gone")
            eventually(lambda: service.job(job["job_id"])["finished_at"] is not None, what="the end is recorded")
            check_nothing_is_left(service, job)
            done = service.job(job["job_id"])
            engine.flow()
            assert service.backup(services=["mail", "calendar"])["state"] == "succeeded"
        assert service.job(job["job_id"]) == done


def test_the_job_of_a_killed_worker_is_ended_although_no_other_comes(
    place: Place, redis_url: str, engine: StallingEngine
) -> None:
    common: dict[str, Any] = {"redis_url": redis_url, "docker_host": engine.docker_host, "lease_seconds": 2}
    with running_service(place, "api", **common) as service:
        with running(place, "worker", **common) as worker:
            job = stalled(service, engine, services=["mail"])
            worker.kill()
        done = service.wait_for(job["job_id"], limit=30)
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")


def test_serve_starts_a_worker_again_that_was_killed(place: Place, engine: StallingEngine) -> None:
    with running_service(place, docker_host=engine.docker_host, lease_seconds=2) as service:
        job = stalled(service, engine, services=["calendar"])
        kill_the_worker(place)
        done = service.wait_for(job["job_id"])
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")
        engine.flow()
        assert service.backup(services=["mail", "calendar"])["state"] == "succeeded"
        assert engine.state(CALENDAR[0]) == "running"


def kill_the_worker(place: Place) -> None:
    (worker,) = (
        process
        for process in place.processes()
        if b"workers.main" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    )
    os.kill(worker, signal.SIGKILL)


def test_everything_comes_back_after_a_power_cut(place: Place, engine: StallingEngine) -> None:
    with running(place, docker_host=engine.docker_host, lease_seconds=2) as serve:
        with serve.client() as service:
            finished = service.backup(services=["mail"])
            job = stalled(service, engine, services=["mail"])
        serve.kill()
    eventually(lambda: place.processes() == [], what="the children of the killed process have ended")
    engine.flow()
    with running_service(place, docker_host=engine.docker_host, lease_seconds=2) as service:
        done = service.wait_for(job["job_id"])
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")
        assert service.job(finished["job_id"]) == finished
        assert service.verify(finished["backup_id"])["state"] == "succeeded"
        assert partial_files(place) == []
        assert service.backup(services=["mail", "calendar"])["state"] == "succeeded"


def test_the_service_goes_on_after_a_redis_that_was_away(place: Place, own_redis: RedisServer) -> None:
    with (
        running_service(place, "api", redis_url=own_redis.url) as service,
        running(place, "worker", redis_url=own_redis.url),
    ):
        first = service.backup(services=[])
        own_redis.kill()
        assert service.ask("GET", f"/api/jobs/{first['job_id']}", expect=503).json()["code"] == "redis_unavailable"
        own_redis.start()
        assert service.job(first["job_id"]) == first
        assert service.backup(services=[])["state"] == "succeeded"
