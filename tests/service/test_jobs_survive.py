"""Jobs outlive a Redis that is away, and no job outlives its worker: real processes, a real server."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.service.stalling import CALENDAR, StallingEngine, stalling_engine
from tests.service.test_two_processes import Job, check_nothing_is_left, partial_files, stalled
from tests.support.redis_server import RedisServer
from tests.support.service import Client, Place, running, running_service
from tests.support.waiting import eventually

LEASE = 2


@pytest.fixture
def engine(place: Place) -> Iterator[StallingEngine]:
    with stalling_engine(place.home) as made:
        yield made


def lease_is_over(server: RedisServer) -> None:
    """Give when the lease that is held now ends, if nobody renews it, and wait until then; the server may be away."""
    client = server.client()
    (key,) = client.scan_iter("*:lease:*")
    ends = client.pexpiretime(key)
    client.close()
    server.kill()
    eventually(lambda: time.time() * 1000 > ends + 1000 * LEASE, what="the lease has run out")


def check_job_went_on(service: Client, engine: StallingEngine, job: Job) -> None:
    """Let the job come to its end, and look at its record and its archive."""
    assert service.job(job["job_id"])["state"] == "running"
    engine.die()
    done = service.wait_for(job["job_id"])
    mail = done["components"][-1]
    assert (done["state"], mail["outcome"], mail["error"]["code"]) == ("partial", "failed", "stream_cut")
    assert (done["started_at"], done["progress"]["percent"]) == (job["started_at"], 100)
    assert service.verify(done["backup_id"])["state"] == "succeeded"
    assert partial_files(service.place) == []


def test_a_job_goes_on_when_redis_was_away_for_longer_than_its_lease(
    place: Place, own_redis: RedisServer, engine: StallingEngine
) -> None:
    common: dict[str, Any] = {"redis_url": own_redis.url, "docker_host": engine.docker_host, "lease_seconds": LEASE}
    with running_service(place, "api", **common) as service, running(place, "worker", **common):
        job = stalled(service, engine, services=["mail"])
        lease_is_over(own_redis)
        own_redis.start()
        check_job_went_on(service, engine, job)


def test_a_job_goes_on_when_redis_stood_still(place: Place, own_redis: RedisServer, engine: StallingEngine) -> None:
    common: dict[str, Any] = {"redis_url": own_redis.url, "docker_host": engine.docker_host, "lease_seconds": LEASE}
    assert own_redis.process is not None
    with running_service(place, "api", **common) as service, running(place, "worker", **common):
        job = stalled(service, engine, services=["mail"])
        own_redis.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        eventually(lambda: time.monotonic() > stopped + 3 * LEASE, what="the lease has run out")
        own_redis.process.send_signal(signal.SIGCONT)
        check_job_went_on(service, engine, job)


def test_a_job_that_ends_while_redis_is_away_is_recorded_when_it_is_back(
    place: Place, own_redis: RedisServer, engine: StallingEngine
) -> None:
    common: dict[str, Any] = {"redis_url": own_redis.url, "docker_host": engine.docker_host, "lease_seconds": LEASE}
    with running_service(place, "api", **common) as service, running(place, "worker", **common):
        job = stalled(service, engine, services=["mail"])
        own_redis.kill()
        engine.die()
        eventually(lambda: "job " + job["job_id"] + ": close" in place.tail(), what="the job is about to publish")
        assert [name for name in place.archives() if not name.startswith(".")] == []
        own_redis.start()
        done = service.wait_for(job["job_id"])
        assert done["state"] == "partial"
        assert service.verify(done["backup_id"])["state"] == "succeeded"


def test_a_worker_that_is_told_to_end_while_redis_is_away_ends_and_the_next_one_records_it(
    place: Place, own_redis: RedisServer, engine: StallingEngine
) -> None:
    common: dict[str, Any] = {"redis_url": own_redis.url, "docker_host": engine.docker_host, "lease_seconds": LEASE}
    with running_service(place, "api", **common) as service:
        with running(place, "worker", **common) as worker:
            job = stalled(service, engine, services=["calendar"])
            own_redis.kill()
            worker.stop()
        assert engine.state(CALENDAR[0]) == "running"
        assert partial_files(place) == []
        own_redis.start()
        with running(place, "worker", **common):
            eventually(lambda: service.job(job["job_id"])["finished_at"] is not None, what="the end is recorded")
            done = service.job(job["job_id"])
            assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")
            check_nothing_is_left(service, job)


def test_a_worker_that_was_stopped_is_replaced_by_another_one_that_was_idle(
    place: Place, redis_url: str, engine: StallingEngine
) -> None:
    common: dict[str, Any] = {"redis_url": redis_url, "docker_host": engine.docker_host, "lease_seconds": LEASE}
    with running_service(place, "api", **common) as service, running(place, "worker", **common) as first:
        job = stalled(service, engine, services=["calendar"], passphrase="correct horse")
        first.process.send_signal(signal.SIGSTOP)
        with running(place, "worker", **common):
            eventually(lambda: service.job(job["job_id"])["finished_at"] is not None, what="the end is recorded")
            done = service.job(job["job_id"])
            assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")
            assert engine.state(CALENDAR[0]) == "running"
            check_nothing_is_left(service, job)
            assert first.process.wait(30) == -signal.SIGKILL  # it would go on with the cell when it wakes up
            engine.flow()
            assert service.backup(services=["mail", "calendar"])["state"] == "succeeded"
            assert service.job(job["job_id"]) == done


def test_serve_replaces_a_worker_that_was_stopped(place: Place, engine: StallingEngine) -> None:
    with running_service(place, docker_host=engine.docker_host, lease_seconds=LEASE) as service:
        job = stalled(service, engine, services=["calendar"])
        (worker,) = (process for process in place.processes() if is_worker(process))
        os.kill(worker, signal.SIGSTOP)
        eventually(lambda: service.job(job["job_id"])["finished_at"] is not None, what="it is recovered", limit=120)
        done = service.job(job["job_id"])
        assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")
        assert engine.state(CALENDAR[0]) == "running"
        engine.flow()
        assert service.backup(services=["mail", "calendar"])["state"] == "succeeded"


def is_worker(process: int) -> bool:
    return b"workers.main" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")


def test_a_job_that_the_queue_lost_is_queued_again(place: Place, own_redis: RedisServer) -> None:
    with running_service(place, "api", redis_url=own_redis.url, lease_seconds=LEASE) as service:
        job_id = service.start_backup(services=[])["job_id"]
        client = own_redis.client()
        lost = [key for key in client.scan_iter() if key.endswith(b":queue") or key.startswith(b"arq:job:")]
        assert len(lost) == 2
        client.delete(*lost)
        client.close()
        with running(place, "worker", redis_url=own_redis.url, lease_seconds=LEASE):
            assert service.wait_for(job_id)["state"] == "succeeded"


def test_a_job_that_nobody_takes_is_ended(place: Place, redis_url: str) -> None:
    with running_service(place, "api", redis_url=redis_url, lease_seconds=LEASE, queue_timeout=1) as service:
        done = service.wait_for(service.start_backup(services=[], passphrase="correct horse")["job_id"])
        assert (done["state"], done["error"]["code"]) == ("failed", "waited_too_long")
        assert done["started_at"] is None
        with running(place, "worker", redis_url=redis_url, lease_seconds=LEASE):
            eventually(lambda: worker_reports(redis_url), what="the worker is there")
        assert service.job(done["job_id"]) == done


def worker_reports(redis_url: str) -> bool:
    with redis.Redis.from_url(redis_url) as client:
        return any(key.endswith(b":queue:health-check") for key in client.scan_iter())
