"""The verify job: reads an archive to its last byte and notes in its sidecar what came of it."""

from datetime import UTC, datetime
from enum import StrEnum

from app.archive.verify import Report, verify
from app.catalog.base import Verification
from app.errors import ArchiveError
from app.jobs.records import JobState
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


def _read(run: JobRun, data_key: bytes | None) -> Report:
    with run.tools.store.open(run.job.backup_id) as file:
        return verify(
            file,
            data_key=data_key,
            spool_dir=run.tools.settings.archives_dir,
            meter=run.meter,
            keep_going=run.threads.keep_going,
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
