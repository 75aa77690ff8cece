"""What every job works with; opened once a worker."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.catalog.base import Store
from app.catalog.local import LocalStore
from app.cell.layout import Layout, load_layout
from app.engine.base import Engine
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.jobs.rooms import Jobs, open_jobs
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Tools:
    """Hold the rooms of the house; `journal` is the directory that names quiesced containers."""

    settings: Settings
    layout: Layout
    jobs: Jobs
    store: Store
    engine: Engine
    journal: Path

    @property
    def cell(self) -> str:
        """Name the cell whose lease the jobs hold."""
        return str(self.settings.cell_root)


@asynccontextmanager
async def open_tools(settings: Settings, redis_url: str) -> AsyncIterator[Tools]:
    """Open everything a worker needs and give it back afterwards."""
    engine = DockerEngine(Endpoint.resolve(os.environ), stall_seconds=settings.stall_timeout)
    try:
        async with open_jobs(settings, redis_url, patient=True) as jobs:
            yield Tools(
                settings=settings,
                layout=load_layout(settings.layout_file),
                jobs=jobs,
                store=LocalStore(settings.archives_dir),
                engine=engine,
                journal=settings.state_dir / "quiesced",
            )
    finally:
        await engine.close()
