"""The first pass of a restore: the archive is proven whole, and the cell's files are staged on the way."""

from datetime import UTC, datetime

from app.archive.pinned import PinnedFile
from app.archive.receiving import Receiver
from app.archive.verify import Report, verify
from app.catalog.base import Verification
from app.errors import ArchiveError, BackupError
from workers.running import JobRun
from workers.verify import limits_of, setuid_rule


async def unpack(run: JobRun, archive: PinnedFile, receiver: Receiver, data_key: bytes | None, *, note: bool) -> Report:
    """Read the whole archive and hand the cell's files to the receiver; `note` writes the outcome beside the archive.

    Raises ArchiveError; then nothing that was received may be used.
    """
    settings = run.tools.settings
    try:
        report = await run.threads.run(
            verify,
            archive,
            data_key=data_key,
            spool_dir=None,
            meter=run.meter,
            keep_going=run.threads.keep_going,
            receiver=receiver,
            limits=limits_of(settings),
            may_be_setuid=setuid_rule(settings.cell_root, authentic=data_key is not None),
        )
    except ArchiveError as error:
        if note:
            await _note(run, Verification(datetime.now(UTC), ok=False, code=error.code, message=error.message))
        raise
    if note:
        await _note(run, Verification(datetime.now(UTC), ok=True))
    return report


async def _note(run: JobRun, verification: Verification) -> None:
    try:
        await run.threads.run(run.tools.store.record_verification, run.job.backup_id, verification)
    except BackupError as error:  # a read-only disk with archives must not stop a restore
        run.warnings.append(f"The verification could not be noted beside the archive: {error.message}")
