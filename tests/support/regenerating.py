"""A sample cell, and a worker's tools around it whose engine calls containers by other names."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.fernet import Fernet

from app.catalog.local import LocalStore
from app.cell.layout import load_layout
from app.cell.sample import make_sample_cell
from app.engine.base import Engine
from app.jobs.rooms import MemoryJobs
from app.settings import Settings
from tests.support.core_containers import CoreContainer, RenamedContainers
from tests.support.waiting import eventually_async
from workers.tools import Tools


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """Make a sample cell."""
    root = tmp_path / "cell"
    make_sample_cell(root)
    return root


def tools_of(cell: Path, engine: Engine, containers: dict[str, CoreContainer], **settings: Any) -> Tools:
    names = {name: container.name for name, container in containers.items()}
    return Tools(
        settings=Settings(cell_root=cell, state_dir=cell.parent / "state", **settings),
        layout=load_layout(None),
        jobs=MemoryJobs().as_jobs(),
        store=LocalStore(cell / "backups"),
        engine=cast("Engine", RenamedContainers(engine, names)),
        journal=cell.parent / "state/quiesced",
        seal=Fernet(Fernet.generate_key()),
    )


async def ready(container: CoreContainer, test: str = "[ -e /tmp/ready ]") -> None:
    async def look() -> bool:
        return container.sh(f"{test} && echo yes || true") == "yes\n"

    await eventually_async(look, what=test)


def reconfigure(cell: Path, **changes: Any) -> None:
    file = cell / "config/api/cell_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
