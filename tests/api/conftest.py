"""The service in this process: the real application and store, jobs in memory, an engine that holds two facts."""

import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.access.audit import AuditLog
from app.access.tokens import Tokens
from app.api.attempts import Attempts
from app.api.resources import Resources
from app.archive.encryption import EncryptingSink
from app.archive.envelope import new_envelope
from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.cell.layout import load_layout
from app.engine.base import Container, ContainerState, Engine, EngineInfo
from app.errors import Code, PartError
from app.jobs.rooms import MemoryJobs
from app.main import create_app
from app.settings import Settings

TOKEN = "a-token-of-the-tests"
PASSPHRASE = "correct horse battery staple"
PLAIN = "backup-20261123-020000-000001"
ENCRYPTED = "backup-20261123-030000-000002"


@dataclass
class FewWordsEngine:
    """Answer what the API asks of an engine; away when `away`."""

    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    async def info(self) -> EngineInfo:
        self._ask()
        return EngineInfo("20.10", "1.41")

    async def containers(self) -> list[Container]:
        self._ask()
        return [
            Container(name, ContainerState.RUNNING, "image", "digest", labels) for name, labels in self.labels.items()
        ]

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise PartError(Code.ENGINE_UNREACHABLE, "The engine is away.")


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """Make a cell with one service that has a manifest."""
    root = tmp_path / "cell"
    service = root / "data/services/mail"
    service.mkdir(parents=True)
    (root / "config/api").mkdir(parents=True)
    (root / "config/api/cell_config.json").write_text('{"cell_name": "home", "domain": "cell.example"}')
    manifest = {
        "schema_version": 3,
        "kind": "store",
        "id": "mail",
        "container_name": "cell-mail",
        "capabilities": {"has_storage": True},
        "backup": {"volumes": [{"name": "mailboxes", "path": "/var/mail"}]},
    }
    (service / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture
def settings(cell: Path, tmp_path: Path) -> Settings:
    return Settings(cell_root=cell, state_dir=tmp_path / "state", scrypt_n=2**10, max_queued_jobs=3)


@pytest.fixture
def jobs() -> MemoryJobs:
    return MemoryJobs()


@pytest.fixture
def engine() -> FewWordsEngine:
    return FewWordsEngine()


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    return LocalStore(settings.archives_dir)


async def at_once(_: float) -> None:
    """Wait no time."""


@pytest.fixture
def resources(settings: Settings, jobs: MemoryJobs, engine: FewWordsEngine, store: LocalStore) -> Resources:
    return Resources(
        settings=settings,
        tokens=Tokens(settings.state_dir, configured=TOKEN),
        audit=AuditLog(settings.state_dir),
        attempts=Attempts(sleep=at_once),
        layout=load_layout(None),
        jobs=jobs.as_jobs(),
        store=store,
        engine=cast("Engine", engine),
    )


@pytest.fixture
def app(settings: Settings, resources: Resources) -> FastAPI:
    return create_app(settings, resources=resources)


@asynccontextmanager
async def client_of(app: FastAPI, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application's lifespan and give a client that calls it in this process."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx2.ASGITransport(app=with_state)
        async with httpx2.AsyncClient(transport=transport, base_url="http://cell", headers=headers) as client:
            yield client


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client that holds the token."""
    async with client_of(app, Authorization=f"Bearer {TOKEN}") as client:
        yield client


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client that holds no token."""
    async with client_of(app) as client:
        yield client


def tarball(names: list[bytes]) -> bytes:
    """Make a gzipped tar with one small file a name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            member = tarfile.TarInfo(name.decode(errors="surrogateescape"))
            member.size = 5
            tar.addfile(member, io.BytesIO(b"hello"))
    return buffer.getvalue()


def publish(store: LocalStore, backup_id: str, content: bytes, *, encrypted: bool = False) -> Entry:
    """Put an archive into the catalog."""
    entry = Entry(
        backup_id=backup_id,
        file_name="",
        encrypted=encrypted,
        size=0,
        created_at=datetime.now(UTC),
        described=True,
        outcome="succeeded",
        label="of the tests",
    )
    with store.create(backup_id, encrypted=encrypted) as archive:
        archive.write(content)
        return archive.publish(entry)


@pytest.fixture
def plain(store: LocalStore) -> Entry:
    """Give a plain archive of three files, one of them with a name that is not UTF-8."""
    return publish(store, PLAIN, tarball([b"config/a", b"config/b", b"data/odd-\xff"]))


@pytest.fixture
def encrypted(store: LocalStore) -> Entry:
    """Give an archive under PASSPHRASE."""
    envelope, data_key = new_envelope(PASSPHRASE, scrypt_n=2**10)
    content = bytearray()
    sink = EncryptingSink(content.extend, envelope, data_key)
    sink.write(tarball([b"config/a", b"data/b"]))
    sink.finish()
    return publish(store, ENCRYPTED, bytes(content), encrypted=True)


async def assert_nothing_queued(jobs: MemoryJobs) -> None:
    """Fail where a request left a record, a queued job or a secret."""
    assert await jobs.store.page(limit=10) == ([], 0)
    assert jobs.queue.enqueued == []
    assert jobs.secrets._secrets == {}


def assert_problem(response: httpx2.Response, status: int, code: Code) -> dict[str, Any]:
    """Fail unless the response is the problem document of this code; give it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = cast("dict[str, Any]", response.json())
    assert (document["status"], document["code"]) == (status, code)
    assert document["title"]
    assert document["detail"]
    assert document["hint"]
    assert document["type"].endswith(code)
    return document


@pytest.fixture
def archives(store: LocalStore, plain: Entry, encrypted: Entry) -> dict[str, bytes]:
    """Give what the two archives hold, so that they can be put back."""
    return {entry.backup_id: store.path(entry.backup_id).read_bytes() for entry in (plain, encrypted)}
