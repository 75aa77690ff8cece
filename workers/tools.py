"""What every job works with; opened once a worker."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

from app.catalog.base import Store
from app.catalog.local import LocalStore
from app.cell.layout import Layout, load_layout
from app.engine.base import Engine
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.jobs.base import Lease
from app.jobs.instance_key import load_instance_key
from app.jobs.rooms import Jobs, open_jobs
from app.settings import Settings
from workers.sole import working


@dataclass(frozen=True, slots=True)
class Tools:
    """Hold the rooms of the house; `journal` is the directory that names quiesced containers.

    `seal` is the instance key: it seals what a restore must leave on disk for whoever has to undo it. `stopping` is set
    once this process was told to end. The command line is `alone`: its leases are of this process only.
    """

    settings: Settings
    layout: Layout
    jobs: Jobs
    store: Store
    engine: Engine
    journal: Path
    seal: Fernet
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    alone: bool = False

    @property
    def cell(self) -> str:
        """Name the cell whose lease the jobs hold."""
        return str(self.settings.cell_root)

    def at_work(self, lease: Lease) -> AbstractAsyncContextManager[None]:
        """Hold the lock of who works on the cell, with what this lease allows."""
        return working(self.settings.state_dir, fence=None if self.alone else lease.fence)


@asynccontextmanager
async def open_tools(settings: Settings, redis_url: str) -> AsyncIterator[Tools]:
    """Open everything a worker needs and give it back afterwards."""
    async with (
        open_jobs(settings, redis_url, patient=True) as jobs,
        tools_around(settings, jobs, LocalStore(settings.archives_dir)) as tools,
    ):
        yield tools


@asynccontextmanager
async def tools_around(settings: Settings, jobs: Jobs, store: Store, *, alone: bool = False) -> AsyncIterator[Tools]:
    """Bring job room and store together with an engine."""
    engine = DockerEngine(Endpoint.resolve(os.environ), stall_seconds=settings.stall_timeout)
    try:
        yield Tools(
            settings=settings,
            layout=load_layout(settings.layout_file),
            jobs=jobs,
            store=store,
            engine=engine,
            journal=settings.state_dir / "quiesced",
            seal=load_instance_key(settings.state_dir),
            alone=alone,
        )
    finally:
        await engine.close()
