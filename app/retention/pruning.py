"""What retention has to know beside the archives: who uses them, and whether the last backup failed."""

import asyncio

from app.catalog.base import Store
from app.catalog.retention import Plan, Policy, decide
from app.cell.restoring.workspace import owed_safety
from app.jobs.base import JobStore
from app.jobs.records import JobKind, JobState
from app.settings import Settings

_ALL = 1_000_000


async def plan_pruning(settings: Settings, store: Store, jobs: JobStore, policy: Policy) -> Plan:
    """Decide of each archive as things stand now; raises as `decide`, the store and the job store do."""
    records, _ = await jobs.page(limit=_ALL)
    failed = [
        job.finished_at
        for job in records
        if job.kind is JobKind.BACKUP and job.state is JobState.FAILED and job.finished_at is not None
    ]
    entries = await asyncio.to_thread(store.entries)
    in_use = await archives_in_use(settings, jobs)
    return await asyncio.to_thread(decide, entries, policy, in_use=in_use, failed_at=max(failed, default=None))


async def archives_in_use(settings: Settings, jobs: JobStore) -> set[str]:
    """Give the ids of archives that a job works on, or that put back the cell after a restore that was cut off."""
    used = {await asyncio.to_thread(owed_safety, settings.cell_root)}
    for job in await jobs.active():
        # what a restore saved before it changed anything is what puts the cell back
        used |= {job.backup_id, (job.result or {}).get("safety_backup_id")}
    return {backup_id for backup_id in used if backup_id}
