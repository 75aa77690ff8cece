"""The backup job: plan, components, volumes, close, publish."""

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum

from app import __version__
from app.archive.envelope import parse_envelope
from app.archive.manifest import Header, Manifest, outcome_of
from app.archive.parts import PartKind, PartOutcome, PartResult
from app.archive.writer import ArchiveWriter, Lock, archive_writer
from app.catalog.base import Entry, NewArchive
from app.catalog.names import choice_of
from app.errors import Code, JobError
from app.jobs.records import JobState
from workers.planning import BackupPlan, plan_backup
from workers.published import result_of
from workers.running import Ending, JobRun
from workers.saving import VolumeSaver, save_component


class Stage(StrEnum):
    """Name what a backup does, in order."""

    PLAN = "plan"
    COMPONENTS = "components"
    VOLUMES = "volumes"
    CLOSE = "close"
    PUBLISH = "publish"


async def backup(run: JobRun) -> Ending:
    """Save the cell into one archive; it becomes visible only when it is whole and durable."""
    lock = await _take_lock(run)
    with run.stage(Stage.PLAN):
        plan = await plan_backup(run)
    return await save(run, plan, lock)


async def save(run: JobRun, plan: BackupPlan, lock: Lock | None, *, expires_at: datetime | None = None) -> Ending:
    """Write what is planned into one archive and publish it; `expires_at` says when it may be removed by rule."""
    settings, job = run.tools.settings, run.job
    async with run.threads.managed(run.tools.store.create(job.backup_id, encrypted=lock is not None)) as archive:
        writing = archive_writer(archive.write, settings.archives_dir, lock=lock, gzip_level=settings.gzip_level)
        async with run.threads.managed(writing) as writer:
            run.meter = writer.meter
            await run.threads.run(writer.begin, _header(run, plan))
            await _save_parts(run, writer, plan)
            with run.stage(Stage.CLOSE):
                manifest = _manifest(run)
                await run.threads.run(writer.finish, manifest)
        with run.stage(Stage.PUBLISH):
            await run.check_may_publish()
            entry = replace(_entry(run, plan, manifest), expires_at=expires_at)
            return await run.threads.run(_publish, run, archive, entry)


async def _take_lock(run: JobRun) -> Lock | None:
    """Give what encrypts the archive, or None for a plain one."""
    line = run.job.request.get("envelope")
    if line is None:
        return None
    return Lock(parse_envelope(line), await run.tools.jobs.secrets.open(run.job.job_id))


async def _save_parts(run: JobRun, writer: ArchiveWriter, plan: BackupPlan) -> None:
    """Save every part in restore order; what fails is noted and the rest goes on."""
    members = writer.files(run.tools.settings.cell_root)
    with run.stage(Stage.COMPONENTS):
        for part, files in plan.components:
            run.parts.append(PartResult(part, PartOutcome.RUNNING))
            run.parts[-1] = await save_component(run, members, files, part)
    with run.stage(Stage.VOLUMES):
        for part, volume in plan.volumes:
            run.parts.append(PartResult(part, PartOutcome.RUNNING))
            run.parts[-1] = await VolumeSaver(run, writer, volume, part).save()
        run.parts.extend(plan.left_out)
    if not any(_saved_something(result) for result in run.parts):
        raise JobError(Code.NOTHING_TO_SAVE, _why_nothing(run.parts))


def _saved_something(result: PartResult) -> bool:
    """Tell whether the archive has a whole file of the part; a volume that was read to its end may be empty."""
    if result.part.kind is PartKind.COMPONENT:
        return result.files > 0
    return result.outcome is PartOutcome.SUCCEEDED or result.files > len(result.damaged)


def _why_nothing(results: list[PartResult]) -> str:
    errors = [f"{result.part.label}: {result.error.message}" for result in results if result.error is not None]
    return " ".join(["Nothing could be saved.", *errors[:3]])


def _header(run: JobRun, plan: BackupPlan) -> Header:
    return Header(
        backup_id=run.job.backup_id,
        created_at=datetime.now(UTC),
        cell_name=plan.identity.cell_name,
        domain=plan.identity.domain,
        service_version=__version__,
        parts=plan.parts,
    )


def _manifest(run: JobRun) -> Manifest:
    results = tuple(run.parts)
    return Manifest(run.job.backup_id, datetime.now(UTC), outcome_of(results), results)


def _entry(run: JobRun, plan: BackupPlan, manifest: Manifest) -> Entry:
    started = run.job.started_at or run.job.created_at
    return Entry(
        backup_id=run.job.backup_id,
        file_name="",
        encrypted=run.job.request.get("envelope") is not None,
        size=0,
        created_at=started,
        outcome=manifest.outcome,
        label=run.job.request.get("label"),
        cell_name=plan.identity.cell_name,
        domain=plan.identity.domain,
        seconds=round((datetime.now(UTC) - started).total_seconds(), 3),
        parts=manifest.parts,
        warnings=tuple(run.warnings),
        choice=choice_of(run.job.request.get("components"), run.job.request.get("services")),
    )


def _publish(run: JobRun, archive: NewArchive, entry: Entry) -> Ending:
    """Make the archive visible unless the job is to end; once it is visible the job has succeeded."""
    stored = archive.publish(entry, run.threads.keep_going)
    ending = Ending(
        state=JobState(stored.outcome or JobState.SUCCEEDED),
        result=result_of(stored, files=run.meter.files, size=run.meter.bytes),
    )
    run.settle(ending)
    return ending
