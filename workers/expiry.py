"""Removing archives whose time is over: the safety archives of restores."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

from app.cell.restoring.workspace import unfinished
from app.errors import BackupError
from workers.tools import Tools

log = logging.getLogger("cell_backup.worker")


async def remove_expired(tools: Tools) -> None:
    """Remove archives whose `expires_at` has passed, except those a job works on; none while a rollback is owed."""
    try:
        if await asyncio.to_thread(_is_owed, tools.settings.cell_root):
            return
        used = [job.backup_id for job in await tools.jobs.store.active()]
        for backup_id in await asyncio.to_thread(tools.store.remove_expired, datetime.now(UTC), keep=used):
            log.info("removed the safety archive %s, whose time was over", backup_id)
    except BackupError as error:  # the next job will try again
        log.warning("expired archives are still there: %s", error.message)


def _is_owed(root: Path) -> bool:
    with unfinished(root) as left:
        return left is not None
