"""A passphrase is nowhere but in the request that brings it: not while its job waits, runs, or has ended."""

import base64
import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import redis

from app.archive.envelope import read_envelope
from tests.service.stalling import StallingEngine, stalling_engine
from tests.support.redis_server import RedisServer
from tests.support.service import Client, Place, running, running_service
from tests.support.waiting import eventually

CORE = "7f3a9cb4-correct-horse"  # no text encoding has to escape any of this
PASSPHRASE = unicodedata.normalize("NFD", f'Grüße+/ "{CORE}" & battery\\$?')

Found = list[str]


def forms(passphrase: str) -> set[bytes]:
    """Give every spelling in which the passphrase could lie about."""
    found: set[bytes] = set()
    for text in (passphrase, unicodedata.normalize("NFC", passphrase), CORE):
        for secret in (text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")):
            found |= {secret, secret.hex().encode(), secret.hex().upper().encode(), *_base64_of(secret)}
        quoted = (repr(text), ascii(text), json.dumps(text), json.dumps(text, ensure_ascii=False))
        spelled = (quote(text), quote(text, safe=""), quote_plus(text), *(word[1:-1] for word in quoted))
        found |= {word.encode() for word in spelled}
    return found


def _base64_of(secret: bytes) -> Iterator[bytes]:
    """Give what stands in base64 of anything that has the secret in it, in both alphabets, wherever it begins."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret)
        first = {0: 0, 1: 2, 2: 3}[before]
        core = encoded[first:].rstrip(b"=")[:-1]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))


FORMS = forms(PASSPHRASE)


def holds(content: bytes) -> bool:
    return any(form in content for form in FORMS)


def in_files(*folders: Path) -> Found:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if holds(path.read_bytes())]


def in_processes(place: Place) -> Found:
    processes = place.processes()
    assert len(processes) >= 1
    names = [Path(f"/proc/{process}/{what}") for process in processes for what in ("cmdline", "environ")]
    return [str(name) for name in names if holds(name.read_bytes())]


def in_redis(server: RedisServer) -> Found:
    with server.client() as client:
        keys = list(client.scan_iter())
        assert keys
        found = [key.decode() for key in keys if holds(key) or any(holds(value) for value in values(client, key))]
        slow = repr(client.slowlog_get(1000)).encode()
        return [*found, *(["slow log"] if holds(slow) else [])]


READ: dict[bytes, tuple[str, ...]] = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"zset": ("ZRANGE", "0", "-1"),
    b"set": ("SMEMBERS",),
    b"list": ("LRANGE", "0", "-1"),
    b"stream": ("XRANGE", "-", "+"),
}


def values(client: redis.Redis, key: bytes) -> Iterator[bytes]:
    """Give everything that a key holds: as it is dumped, which may be compressed, and as it is read."""
    command, *limits = READ[ask(client, "TYPE", key)]
    yield from flat(ask(client, "DUMP", key))
    yield from flat(ask(client, command, key, *limits))


def ask(client: redis.Redis, *words: str | bytes) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no types for it


def flat(value: object) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from flat([*value, *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from flat(item)


def everywhere(service: Client, server: RedisServer) -> Found:
    """Look everywhere: Redis, its files, all files of the service with its logs, all processes, all answers."""
    server.client().config_set("slowlog-log-slower-than", 0)
    answers = [f"answer {answer.url}" for answer in service.answers if holds(answer.content)]
    heads = [f"head {answer.url}" for answer in service.answers if holds(repr(answer.headers.raw).encode())]
    files = in_files(service.place.home, server.directory)
    return [*in_redis(server), *files, *in_processes(service.place), *answers, *heads]


@pytest.fixture
def engine(place: Place) -> Iterator[StallingEngine]:
    with stalling_engine(place.home) as made:
        yield made


def test_the_search_finds_every_spelling(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    for form in FORMS:
        planted.write_bytes(b"\0before" + form + b"after\xff")
        assert in_files(tmp_path) == [str(planted)]
    planted.write_bytes(PASSPHRASE.replace(CORE, CORE[1:]).encode())
    assert in_files(tmp_path) == []


def test_the_search_finds_what_a_process_was_given(place: Place) -> None:
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    for extra, more, what in (([PASSPHRASE], {}, "cmdline"), ([], {"SECRET": PASSPHRASE}, "environ")):
        environment = {**place.environment(), **more}
        with subprocess.Popen([*waiting, *extra], stdin=subprocess.PIPE, env=environment) as process:
            eventually(lambda: bool(place.processes()), what="the process runs")
            assert in_processes(place) == [f"/proc/{process.pid}/{what}"]


def test_the_search_finds_base64_that_begins_before_the_secret() -> None:
    for before in range(7):
        assert holds(base64.b64encode(b"x" * before + PASSPHRASE.encode() + b"some more"))
        assert holds(base64.urlsafe_b64encode(b"\xff" * before + PASSPHRASE.encode() + b"\xff\xff"))


def test_the_search_finds_what_is_planted_in_redis(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        secret = PASSPHRASE.encode()
        client.set("a", secret)
        client.hset("b", "field", secret)
        client.zadd("c", {secret: 1.0})
        client.sadd("d", secret)
        client.rpush("e", secret)
        client.xadd("f", {"field": secret})
        client.set(secret, "g")
    assert set(in_redis(own_redis)) == {"a", "b", "c", "d", "e", "f", PASSPHRASE}
    assert [name for name in in_files(own_redis.directory) if "aof" in name]


def test_a_passphrase_is_nowhere_while_its_job_waits_runs_and_has_ended(
    place: Place, own_redis: RedisServer, engine: StallingEngine
) -> None:
    common = {"redis_url": own_redis.url, "docker_host": engine.docker_host, "log_level": "DEBUG"}
    engine.stall()
    with running_service(place, "api", **common) as service:
        accepted = service.start_backup(passphrase=PASSPHRASE, services=["mail"], label="a label")
        waiting = service.job(accepted["job_id"])
        assert waiting["state"] == "queued"
        assert everywhere(service, own_redis) == []
        with running(place, "worker", **common):
            for job in service.follow(accepted["job_id"]):
                if job["stage"] == "volumes" and job["progress"]["bytes_done"] > 400_000:
                    break
            assert (job["state"], len(place.processes())) == ("running", 2)
            assert everywhere(service, own_redis) == []
            engine.die()
            done = service.wait_for(accepted["job_id"])
            assert done["state"] == "partial"
            assert service.verify(done["backup_id"], passphrase=PASSPHRASE)["state"] == "succeeded"
            assert everywhere(service, own_redis) == []
    with (place.backups / done["result"]["file_name"]).open("rb") as file:
        data_key = read_envelope(file).open(PASSPHRASE)
    assert in_files(place.home, own_redis.directory) == []
    # the append-only file has all that was ever written to Redis, the sealed key of the job too
    kept = [path for folder in (place.home, own_redis.directory) for path in folder.rglob("*") if path.is_file()]
    assert [path for path in kept if data_key in path.read_bytes()] == []
    assert any(b":secret:" in path.read_bytes() for path in kept)


def test_a_passphrase_that_is_refused_is_not_repeated(place: Place, own_redis: RedisServer) -> None:
    with running_service(place, "api", redis_url=own_redis.url, log_level="DEBUG") as service:
        for wanted in (
            {"passphrase": PASSPHRASE, "components": ["nothing"]},
            {"passphrase": [PASSPHRASE]},
            {"passphrase": PASSPHRASE * 100},
            {"passphrase": PASSPHRASE, "label": PASSPHRASE + "\n"},
            {PASSPHRASE: 1},
            {"passfrase": PASSPHRASE},
        ):
            service.ask("POST", "/api/config/backup", expect=422, json=wanted)
        broken = json.dumps({"passphrase": PASSPHRASE}).encode()[:-1]
        service.ask("POST", "/api/config/backup", expect=400, content=broken)
        assert not [answer.text for answer in service.answers if holds(answer.content)]
    assert in_files(place.home, own_redis.directory) == []


def test_token_and_instance_key_are_in_no_log_and_no_answer(place: Place) -> None:
    with running_service(place, log_level="DEBUG") as service:
        assert service.backup(services=[], passphrase=PASSPHRASE)["state"] == "succeeded"
        kept = [(place.state / name).read_text().strip() for name in ("api-token", "instance.key")]
        said = [path.read_text(errors="replace") for path in place.logs] + [answer.text for answer in service.answers]
        assert not [text for text in said if any(secret in text for secret in kept)]
