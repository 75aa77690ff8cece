"""A worker with schedules and a clock that a test turns, in both job rooms."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.jobs.records import Job, JobState
from app.jobs.rooms import open_jobs
from app.scheduling.schedule_file import ScheduleFile
from app.scheduling.schedules import LastResult, Schedule
from tests.faults.house import House
from workers.scheduling import Scheduler
from workers.tools import Tools

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRST = datetime(2026, 11, 24, 2, tzinfo=UTC)
DAY = timedelta(days=1)
NIGHTLY = Schedule("nightly", "0 2 * * *")


@dataclass
class Night:
    """Hold a worker's tools and a clock that a test turns."""

    tools: Tools
    now: datetime = NOON
    schedulers: dict[int, Scheduler] = field(default_factory=dict)

    @property
    def file(self) -> ScheduleFile:
        return ScheduleFile(self.tools.settings)

    def plan(self, **fields: Any) -> None:
        self.file.add(replace(NIGHTLY, **fields), NOON)

    async def look(self, at: datetime, *, worker: int = 0) -> None:
        self.now = at
        await self.worker(worker).look()

    def worker(self, number: int) -> Scheduler:
        return self.schedulers.setdefault(number, Scheduler(self.tools, clock=lambda: self.now))

    async def jobs(self) -> list[Job]:
        return (await self.tools.jobs.store.page(limit=100))[0][::-1]

    async def end(self, job: Job, state: JobState = JobState.SUCCEEDED) -> None:
        await self.tools.jobs.store.update(replace(job, state=state, finished_at=self.now))

    def last(self) -> LastResult:
        last = self.file.get("nightly").last
        assert last is not None
        return last


@pytest.fixture(params=["memory", "redis"])
async def night(request: pytest.FixtureRequest, house: House) -> AsyncIterator[Night]:
    house.configure(scrypt_n=2**10)
    if request.param == "memory":
        yield Night(house.tools)
        return
    async with open_jobs(house.settings, request.getfixturevalue("redis_url")) as jobs:
        yield Night(replace(house.tools, jobs=jobs))


def passphrase_in(directory: Path) -> Path:
    path = directory / "passphrase"
    path.write_text("correct horse battery\n")
    path.chmod(0o600)
    return path
