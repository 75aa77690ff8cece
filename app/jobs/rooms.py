"""Opens the job room, the same way for the API and for the worker."""

import hashlib
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.jobs.arq_queue import ArqQueue
from app.jobs.base import Deliveries, JobQueue, JobStore, Leases, SecretBox
from app.jobs.connection import open_link
from app.jobs.instance_key import load_instance_key
from app.jobs.lease import RedisLeases
from app.jobs.memory import MemoryJobQueue, MemoryJobStore, MemoryLeases, MemorySecretBox
from app.jobs.memory_deliveries import MemoryDeliveries
from app.jobs.redis_deliveries import RedisDeliveries
from app.jobs.redis_store import RedisJobStore
from app.jobs.secrets import RedisSecretBox
from app.settings import Settings

SHORT_PATIENCE = 2.0  # seconds a request waits for a Redis that is away


@dataclass(frozen=True, slots=True)
class Jobs:
    """Hold what API and worker share."""

    store: JobStore
    queue: JobQueue
    leases: Leases
    secrets: SecretBox
    deliveries: Deliveries


@dataclass(frozen=True, slots=True)
class MemoryJobs:
    """Hold the same in memory; a test looks at each as what it is."""

    store: MemoryJobStore = field(default_factory=MemoryJobStore)
    queue: MemoryJobQueue = field(default_factory=MemoryJobQueue)
    leases: MemoryLeases = field(default_factory=MemoryLeases)
    secrets: MemorySecretBox = field(default_factory=MemorySecretBox)

    @property
    def deliveries(self) -> MemoryDeliveries:
        """Give the webhooks, which the store keeps as long as it keeps their jobs."""
        return self.store.deliveries

    def as_jobs(self) -> Jobs:
        """Give the room as everyone else sees it."""
        return Jobs(
            store=self.store, queue=self.queue, leases=self.leases, secrets=self.secrets, deliveries=self.deliveries
        )


def namespace_of(cell_root: Path) -> str:
    """Name a cell on Redis by the folder it is, so that two cells can share a database."""
    return f"cell-backup:{hashlib.sha256(os.fsencode(cell_root.resolve())).hexdigest()[:12]}"


@asynccontextmanager
async def open_jobs(settings: Settings, redis_url: str, *, patient: bool = False) -> AsyncIterator[Jobs]:
    """Open the room; `patient`, for a worker, waits until a Redis that is away is back.

    Raise InputError(INVALID_SETTING) for a bad address or state directory; a Redis that is away shows at the first use.
    """
    key = load_instance_key(settings.state_dir)
    namespace = namespace_of(settings.cell_root)
    async with open_link(redis_url, patience=math.inf if patient else SHORT_PATIENCE) as link:
        yield Jobs(
            store=RedisJobStore(link, namespace=namespace),
            queue=ArqQueue(link, namespace=namespace),
            leases=RedisLeases(link, namespace=namespace, seconds=settings.lease_seconds),
            secrets=RedisSecretBox(link, key, namespace=namespace),
            deliveries=RedisDeliveries(link, namespace=namespace),
        )
