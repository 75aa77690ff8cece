"""What the tests of the job room may ask for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.jobs.rooms import Jobs, MemoryJobs, open_jobs
from app.settings import Settings


@pytest.fixture(params=["memory", "redis"])
async def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Jobs]:
    if request.param == "memory":
        yield MemoryJobs().as_jobs()
        return
    url: str = request.getfixturevalue("redis_url")
    async with open_jobs(Settings(cell_root=tmp_path / "cell", state_dir=tmp_path / "state"), url) as opened:
        yield opened
