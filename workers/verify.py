"""The verify job: reads an archive to its last byte and notes in its sidecar what came of it."""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from app.archive.guard import Limits
from app.archive.verify import Report, verify
from app.catalog.base import Verification
from app.errors import ArchiveError
from app.jobs.records import JobState
from app.settings import Settings
from workers.running import Ending, JobRun


class Stage(StrEnum):
    """Name what a verification does."""

    READ = "read"


async def verify_archive(run: JobRun) -> Ending:
    """Prove an archive whole; one that is damaged makes the job fail and is marked in the catalog."""
    store, backup_id = run.tools.store, run.job.backup_id
    entry = await run.threads.run(store.get, backup_id)
    data_key = await run.tools.jobs.secrets.open(run.job.job_id) if entry.encrypted else None
    run.progress.total = sum(result.bytes for result in entry.parts) or None
    run.progress.estimated = run.progress.total is None
    try:
        with run.stage(Stage.READ):
            report = await run.threads.run(_read, run, data_key)
    except ArchiveError as error:
        failed = Verification(datetime.now(UTC), ok=False, code=error.code, message=error.message)
        await run.threads.run(store.record_verification, backup_id, failed)
        raise
    good = Verification(datetime.now(UTC), ok=True)
    await run.threads.run(store.record_verification, backup_id, good)
    return Ending(JobState.SUCCEEDED, _result(backup_id, report))


def limits_of(settings: Settings) -> Limits:
    """Say how much an archive may hold before it is refused."""
    return Limits(
        members=settings.max_members, cell_files=max(settings.max_members // 5, 1), expansion=settings.max_expansion
    )


def setuid_rule(root: Path, *, authentic: bool) -> Callable[[bytes], bool]:
    """Give what tells whether a file, by its name, may come back with the right to act as its owner or group.

    It may where the cell's own file has that right now, and out of an encrypted archive, which only somebody who knows
    the passphrase can have made.
    """

    def may_be_setuid(name: bytes) -> bool:
        try:
            facts = os.lstat(os.path.join(os.fsencode(root), name))  # noqa: PTH118 - a name of any bytes
        except OSError:
            return authentic
        return authentic or (stat.S_ISREG(facts.st_mode) and bool(facts.st_mode & (stat.S_ISUID | stat.S_ISGID)))

    return may_be_setuid


def _read(run: JobRun, data_key: bytes | None) -> Report:
    with run.tools.store.open(run.job.backup_id) as file:
        return verify(
            file,
            data_key=data_key,
            spool_dir=run.tools.settings.archives_dir,
            meter=run.meter,
            keep_going=run.threads.keep_going,
            limits=limits_of(run.tools.settings),
            may_be_setuid=setuid_rule(run.tools.settings.cell_root, authentic=data_key is not None),
        )


def _result(backup_id: str, report: Report) -> dict[str, object]:
    manifest = report.manifest
    return {
        "backup_id": backup_id,
        "members": report.members,
        "files": report.files,
        "bytes": report.bytes,
        "outcome": None if manifest is None else manifest.outcome,
        "failed_parts": [] if manifest is None else [r.part.label for r in manifest.parts if r.error is not None],
    }
