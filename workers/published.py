"""What a backup gives back once its archive is published, whoever says so."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.catalog.base import Entry
from app.errors import BackupError
from app.jobs.records import Job, JobKind, JobState
from workers.tools import Tools

_SAID = "The worker died when the archive was published already; this record was completed from what is said beside it."


def result_of(entry: Entry, *, files: int, size: int) -> dict[str, Any]:
    """Give the result of the backup that made this archive; `size` is bytes of contents."""
    return {
        "backup_id": entry.backup_id,
        "file_name": entry.file_name,
        "size": entry.size,
        "sha256": entry.sha256,
        "encrypted": entry.encrypted,
        "files": files,
        "bytes": size,
    }


async def as_published(tools: Tools, job: Job) -> Job | None:
    """Give the record of a backup whose worker died too late to spoil it; None where there is no whole archive."""
    if job.kind is not JobKind.BACKUP:
        return None
    try:
        entry = await asyncio.to_thread(tools.store.get, job.backup_id)
    except BackupError:
        return None
    if entry.outcome is None:  # nothing beside it says that it is whole
        return None
    files, size = sum(part.files for part in entry.parts), sum(part.bytes for part in entry.parts)
    progress = replace(job.progress, percent=100.0, bytes_done=size, files_done=files)
    return replace(
        job,
        state=JobState(entry.outcome),
        components=entry.parts,
        progress=replace(progress, current=None, rate=None, eta_seconds=None),
        warnings=(*entry.warnings, _SAID),
        result=result_of(entry, files=files, size=size),
        finished_at=datetime.now(UTC),
    )
