"""A small cell, a real local store and a job room in memory: what every fault is injected into."""

import asyncio
import io
import json
import tarfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from app.archive.parts import PartResult
from app.catalog.base import Store
from app.catalog.local import LocalStore
from app.cell.layout import load_layout
from app.engine.base import Engine
from app.engine.memory import MemoryContainer, MemoryEngine, MemoryVolume
from app.jobs.base import JobStore
from app.jobs.records import Job, JobKind, JobState
from app.jobs.rooms import MemoryJobs
from app.settings import Settings
from tests.support.waiting import eventually_async
from workers.backup import backup
from workers.running import Ending, JobRun, run_job
from workers.tools import Tools

Work = Callable[[JobRun], Awaitable[Ending]]
BACKUP_ID = "backup-20261123-020000-00000f"
JOB_ID = "00000000000000000000000000000001"
WRITERS = {"store", "compress"}  # the threads that an archive writer has


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def make_cell(root: Path) -> None:
    """Put a file into each component of a new cell."""
    write(root / "config/api/cell_config.json", b'{"cell_name": "home", "domain": "cell.example"}')
    write(root / "data/vault/ca.key", b"vault")
    write(root / "data/vault/ca.crt", b"certificate")
    write(root / "config/caddy/Caddyfile", b"web")
    write(root / "data/ddns_token", b"access")
    write(root / "data/service_credentials/mail.json", b"credentials")
    write(root / "data/something/else", b"rest")


def add_service(root: Path, service_id: str, *volumes: dict[str, Any]) -> None:
    """Install a service whose manifest names these volumes of the container cell-<id>."""
    manifest = {
        "schema_version": 3,
        "kind": "store",
        "id": service_id,
        "container_name": f"cell-{service_id}",
        "capabilities": {"has_storage": True},
        "backup": {"volumes": list(volumes)},
    }
    write(root / f"data/services/{service_id}/manifest.json", json.dumps(manifest).encode())


def tar_of(files: dict[str, bytes]) -> bytes:
    """Make a tar as a container's tar gives one: directories, then files, with names that begin with `./`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders = {f"./{parent}/" for name in files for parent in Path(name).parents if parent != Path()}
        for folder in ("./", *sorted(folders)):
            directory = tarfile.TarInfo(folder)
            directory.type = tarfile.DIRTYPE
            directory.mode = 0o755
            tar.addfile(directory)
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class House:
    """Hold one cell and everything that a job needs; tests put faulty parts in place of sound ones."""

    root: Path
    settings: Settings
    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    memory_engine: MemoryEngine = field(default_factory=MemoryEngine)
    engine: Engine | None = None
    store: Store | None = None
    job_store: JobStore | None = None
    runs: list[JobRun] = field(default_factory=list)
    seal: Fernet = field(default_factory=lambda: Fernet(Fernet.generate_key()))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def machines(self) -> dict[str, MemoryContainer]:
        return self.memory_engine.machines

    @property
    def archives(self) -> Path:
        return self.settings.archives_dir

    @property
    def journal(self) -> Path:
        return self.settings.state_dir / "quiesced"

    @property
    def tools(self) -> Tools:
        jobs = self.jobs.as_jobs()
        return Tools(
            settings=self.settings,
            layout=load_layout(None),
            jobs=jobs if self.job_store is None else replace(jobs, store=self.job_store),
            store=self.store or LocalStore(self.archives),
            engine=self.engine or self.memory_engine,
            journal=self.journal,
            seal=self.seal,
            stopping=self.stopping,
        )

    def configure(self, **values: Any) -> None:
        self.settings = self.settings.model_copy(update=values)

    def add_mail(self, tar: bytes, **volume: Any) -> MemoryVolume:
        """Install the service `mail` with one volume, `mailboxes`, and give the volume its container has."""
        add_service(self.root, "mail", {"name": "mailboxes", "path": "/var/mail", **volume})
        held = MemoryVolume(tar)
        self.machines["cell-mail"] = MemoryContainer({"/var/mail": held})
        return held

    async def queue(self, **request: Any) -> Job:
        now = datetime.now(UTC)
        job = Job(JOB_ID, JobKind.BACKUP, JobState.QUEUED, now, BACKUP_ID, request)
        await self.jobs.store.create(job, max_queued=10)
        return job

    async def work(self, work: Work = backup, *, job_id: str = JOB_ID) -> Job:
        """Run the job that waits, and give its record as it is afterwards."""

        async def noted(run: JobRun) -> Ending:
            self.runs.append(run)
            return await work(run)

        await run_job(self.tools, job_id, noted)
        return await self.record(job_id)

    async def back_up(self, **request: Any) -> Job:
        await self.queue(**request)
        return await self.work()

    async def record(self, job_id: str = JOB_ID) -> Job:
        job = await self.jobs.store.get(job_id)
        assert job is not None
        return job

    async def seen_in(self, stage: str, *, job_id: str = JOB_ID) -> Job:
        """Wait until the record says that the job is in a stage."""

        async def there() -> bool:
            return (await self.record(job_id)).stage == stage

        await eventually_async(there, what=f"the job is in {stage}")
        return await self.record(job_id)


def part(job: Job, label: str) -> PartResult:
    """Give what the record says of one part."""
    found = [result for result in job.components if result.part.label == label]
    assert len(found) == 1, [result.part.label for result in job.components]
    return found[0]


def outcomes(results: Sequence[PartResult]) -> dict[str, str]:
    return {result.part.label: result.outcome for result in results}


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*"))


def writer_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & WRITERS


def assert_nothing_left(house: House) -> None:
    """Check that a job that failed left no archive, no temporary file, no thread, no lease and no journal behind."""
    assert names_in(house.archives) == []
    assert writer_threads() == set()
    assert list(house.journal.glob("*")) == []


async def assert_failed(house: House, job: Job, code: str, state: JobState = JobState.FAILED) -> None:
    """Check that a job ended badly and says so in full."""
    assert job.state is state
    assert job.finished_at is not None
    assert job.error is not None
    assert job.error.code == code
    assert job.error.message.endswith(".")
    assert job.error.hint
    assert not [result for result in job.components if result.outcome in {"running", "pending"}]
    assert await house.jobs.leases.holder(str(house.root)) is None
    assert_nothing_left(house)
