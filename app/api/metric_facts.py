"""What a scrape finds: what the job room tells, what the archives are, how much room there is."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.api.resources import Resources
from app.catalog.base import Entry, Store
from app.errors import BackupError, Code, UnavailableError
from app.jobs.base import Totals
from app.jobs.records import Job, JobState

_PATIENCE = 4.0  # a scraper waits ten seconds, and another one may look first


@dataclass(frozen=True, slots=True)
class JobFacts:
    """Hold what the job room tells."""

    active: tuple[Job, ...]
    totals: Mapping[str, Totals]
    worker_alive: bool
    lease_held: bool
    fence: int
    webhook_attempts: Mapping[str, int]
    webhooks_pending: int


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """Sum up the catalog; `good` is the newest good backup."""

    count: int
    size: int
    newest: datetime | None
    newest_verified: datetime | None
    good: Entry | None


@dataclass(frozen=True, slots=True)
class Disk:
    """Say how many bytes the place of the archives has, and how many of them this service may still use."""

    size: int
    free: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Hold all that one scrape found; None stands for what could not be asked."""

    now: datetime
    most_queued: int
    jobs: JobFacts | None
    archives: ArchiveFacts | None
    disk: Disk | None


async def find_facts(given: Resources) -> Facts:
    """Ask everyone at once; one scrape at a time looks, so that many scrapers cannot take all threads."""
    async with given.scraping:
        jobs, archives, disk = await asyncio.gather(
            _job_facts(given),
            asyncio.to_thread(_archive_facts, given.store),
            asyncio.to_thread(_disk, given.settings.archives_dir),
        )
    return Facts(datetime.now(UTC), given.settings.max_queued_jobs, jobs, archives, disk)


async def _job_facts(given: Resources) -> JobFacts | None:
    """Ask one after the other: a Redis that is away, or hangs, is waited for once."""
    jobs, cell = given.jobs, str(given.settings.cell_root)
    try:
        async with asyncio.timeout(_PATIENCE):
            return JobFacts(
                active=tuple(await jobs.store.active()),
                totals=await jobs.store.totals(),
                worker_alive=await jobs.queue.workers_alive(),
                lease_held=await jobs.leases.holder(cell) is not None,
                fence=await jobs.leases.fence(cell),
                webhook_attempts=await jobs.deliveries.attempts(),
                webhooks_pending=await jobs.deliveries.pending(),
            )
    except TimeoutError:
        return None
    except UnavailableError as error:
        if error.code is not Code.REDIS_UNAVAILABLE:
            raise
        return None


def _archive_facts(store: Store) -> ArchiveFacts | None:
    try:
        entries = store.entries()
    except BackupError:
        return None
    verified = (entry.verified.at for entry in entries if entry.verified is not None and entry.verified.ok)
    return ArchiveFacts(
        count=len(entries),
        size=sum(entry.size for entry in entries),
        newest=entries[0].created_at if entries else None,
        newest_verified=max(verified, default=None),
        good=next((entry for entry in entries if is_good(entry)), None),
    )


def is_good(entry: Entry) -> bool:
    """Tell whether this is a backup of everything, all of it is there, and no verification found it broken.

    What a restore saved before it began is none: it holds only what was about to be replaced.
    """
    broken = entry.verified is not None and not entry.verified.ok
    return entry.outcome == JobState.SUCCEEDED and not entry.choice and entry.expires_at is None and not broken


def _disk(directory: Path) -> Disk | None:
    """Look at the directory itself, or at the one it would be made in."""
    for place in (directory, *directory.parents):
        try:
            usage = shutil.disk_usage(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return Disk(usage.total, usage.free)
    return None
