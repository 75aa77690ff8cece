"""A cell with its service as processes: API, workers, Redis, an engine with containers, a receiver of webhooks."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.faults.processes.cells import Side, turn_to_b
from tests.faults.processes.containers import KINDS, Containers, containers
from tests.faults.processes.receiver import OTHER_SECRET, SECRET, Receiver, receiving
from tests.faults.processes.workers import Workers
from tests.support.docker_engine import Images
from tests.support.redis_server import RedisServer, redis_server
from tests.support.service import Client, Place, ServiceProcess, sample_place
from tests.support.trees import Tree, describe, differences
from tests.support.waiting import eventually

PASSPHRASE = "correct horse battery staple"
LEASE = 4.0
ROOT = b"."


class Api:
    """Keep one process of the API, and a client of it."""

    def __init__(self, place: Place, settings: dict[str, Any]) -> None:
        self._place = place
        self._settings = settings
        self.start()

    def start(self) -> None:
        """Start it, at whatever port is free."""
        self._process = ServiceProcess(self._place, "api", self._place.environment(**self._settings))
        self.client = self._process.client()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.client.__exit__()
        self._process.kill()


@dataclass(slots=True)
class World:
    """Hold everything; `archives` has the backup of each side, `trees` and `volumes` what a restore of it makes."""

    place: Place
    redis: RedisServer
    containers: Containers
    receiver: Receiver
    workers: Workers
    settings: dict[str, Any]
    api: Api
    side: Side = Side.A
    archives: dict[Side, str] = field(default_factory=dict)
    trees: dict[Side, Tree] = field(default_factory=dict)
    volumes: dict[Side, dict[str, Tree]] = field(default_factory=dict)
    known_files: set[str] = field(default_factory=set)
    sound: bool = False

    @property
    def service(self) -> Client:
        """Give a client of the API as it runs now."""
        return self.api.client

    @property
    def backups(self) -> Path:
        """Give the backup directory."""
        return Path(self.settings.get("backup_dir", self.place.backups))

    @property
    def services(self) -> list[str]:
        return list(self.containers.kinds)

    @property
    def redis_answers(self) -> bool:
        with self.redis.client() as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def ask(self, kind: str, *, encrypted: bool = False, **more: Any) -> str:
        """Queue a job of a kind, as a restore that of the other side; give its id."""
        self.sound = False
        target = Side.A if encrypted else Side.B
        secret = {"passphrase": PASSPHRASE} if encrypted else {}
        wanted: dict[str, Any] = {"services": self.services, **more}
        if kind == "backup":
            path = "/api/config/backup"
        elif kind == "verify":
            path, wanted = f"/api/config/backups/{self.archives[target]}/verify", {}
        else:
            target = self.side.other
            path = f"/api/config/restore/{self.archives[target]}"
            secret = {"passphrase": PASSPHRASE} if target is Side.A else {}
            wanted["dry_run"] = kind == "dry run"
        hook = {"webhook": {"url": self.receiver.address("request"), "secret": OTHER_SECRET}}
        answer = self.service.ask("POST", path, expect=202, json={**wanted, **secret, **hook}).json()
        job_id: str = answer["job_id"]
        return job_id

    def cancel(self, job_id: str) -> None:
        self.service.ask("POST", f"/api/jobs/{job_id}/cancel", expect=202)

    def ended(self, job_id: str) -> dict[str, Any]:
        """Give the job once its end is recorded, within the minute that it has for that."""
        ends: list[dict[str, Any]] = []

        def recorded() -> bool:
            ends.append(self.service.job(job_id))
            return ends[-1]["finished_at"] is not None

        eventually(recorded, what=f"job {job_id} has ended\n{self.workers.say()}", limit=60)
        return ends[-1]

    def side_of_files(self) -> Side | None:
        """Tell which side the cell is on; None for neither."""
        now = describe(self.place.cell)
        for side, tree in self.trees.items():
            if not differences(tree, now | {ROOT: tree[ROOT]}):
                tree[ROOT] = now[ROOT]
                return side
        return None

    def wrong_files(self, side: Side) -> list[str]:
        """Say what of files and volumes is not as on this side.

        The time of the cell root, which no archive has, must be as it was only where the side has not changed.
        """
        tree, now = self.trees[side], describe(self.place.cell)
        wrong = differences(tree, now if side is self.side else now | {ROOT: tree[ROOT]})
        for service, tree in self.containers.volumes().items():
            found = differences(self.volumes[side][service], tree)
            wrong += [f"volume {service}: {line}" for line in found]
        return wrong


@contextmanager
def building(
    images: Images, docker_host: str, *, kinds: Sequence[str] = tuple(KINDS), options: Sequence[str] = (), **more: Any
) -> Iterator[World]:
    """Build a world with a worker; `options` are further ones of `docker run`, `more` further settings."""
    with ExitStack() as stack:
        place = stack.enter_context(sample_place())
        server = stack.enter_context(redis_server(aof=True))
        receiver = stack.enter_context(receiving())
        made = stack.enter_context(containers(place.home, images, {kind: KINDS[kind] for kind in kinds}, options))
        settings: dict[str, Any] = {
            "docker_host": docker_host,
            "redis_url": server.url,
            "lease_seconds": LEASE,
            "regenerate": "hook",
            "cell_api_url": receiver.address("").rstrip("/"),
            "webhook_url": receiver.address("default"),
            "webhook_secret": SECRET,
            "webhook_networks": "127.0.0.0/8",
            "webhook_pauses": ",".join(["1"] * 60),
            **more,
        }
        workers = Workers(place, settings)
        stack.callback(workers.end)
        api = Api(place, settings)
        stack.callback(api.kill)
        world = World(place, server, made, receiver, workers, settings, api)
        workers.start()
        _make_sides(world)
        world.sound = True
        yield world


def _make_sides(world: World) -> None:
    """Back the cell up as it is on either side, and note what a restore of each makes of it."""
    world.containers.install(world.place.cell)
    for side in Side:
        if side is Side.B:
            turn_to_b(world.place.cell)
        world.containers.fill(side)
        world.archives[side] = _done(world, world.ask("backup", encrypted=side is Side.A))["backup_id"]
        world.side = side
    for _ in Side:
        _done(world, world.ask("restore", safety="none"))
        world.side = world.side.other
        world.trees[world.side] = describe(world.place.cell)
        world.volumes[world.side] = world.containers.volumes()
    world.known_files = {path.name for path in world.backups.iterdir()}


def _done(world: World, job_id: str) -> dict[str, Any]:
    job = world.service.wait_for(job_id)
    assert job["state"] == "succeeded", f"{job}\n{world.workers.say()}"
    return job


@dataclass(slots=True)
class _Holder:
    """Hold the world that many tests share, until one of them fails in it."""

    images: Images
    docker_host: str
    stack: ExitStack = field(default_factory=ExitStack)
    world: World | None = None

    def whole(self) -> World:
        if self.world is None or not self.world.sound:
            self.world = None
            self.stack.close()
            self.world = self.stack.enter_context(building(self.images, self.docker_host))
        return self.world


@pytest.fixture(scope="package")
def world_for_all(docker_host: str, images: Images) -> Iterator[_Holder]:
    holder = _Holder(images, docker_host)
    with holder.stack:
        yield holder


@pytest.fixture
def world(world_for_all: _Holder) -> World:
    """Give the world that all tests of this folder share; one in which a test failed is made anew."""
    return world_for_all.whole()
