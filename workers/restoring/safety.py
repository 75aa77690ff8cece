"""The safety archive: what a restore is about to replace, saved as an ordinary archive first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from app.archive.envelope import parse_envelope
from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.archive.writer import Lock
from app.cell.files import ComponentFiles, take_inventory
from app.cell.identity import read_identity
from app.errors import BackupError, Code, InputError, JobError
from workers.backup import save
from workers.planning import BackupPlan
from workers.restoring.volumes import VolumeTarget
from workers.running import JobRun

LABEL = "before-restore"
_STOPS_NOTHING = {Code.CANCELLED, Code.WORKER_LOST, Code.WORKER_STOPPED, Code.JOB_TIMEOUT, Code.DISK_FULL}


@dataclass(frozen=True, slots=True)
class Safety:
    """Name the safety archive, None where not one volume could be saved, and say how each part came out."""

    backup_id: str | None
    size: int
    parts: tuple[PartResult, ...]

    def has(self, part: Part) -> bool:
        """Tell whether the part is in it, whole."""
        return any(
            (result.part.kind, result.part.label) == (part.kind, part.label) and result.outcome is PartOutcome.SUCCEEDED
            for result in self.parts
        )


async def save_before(
    run: JobRun, backup_id: str, components: Sequence[str], targets: Sequence[VolumeTarget], key: bytes | None
) -> Safety | None:
    """Save the components and volumes as they are now, under that id; None where there is nothing of them to save.

    Raises JobError SAFETY_FAILED where a component cannot be saved whole, or what writing an archive raises.
    """
    line = run.job.request.get("safety_envelope")
    lock = Lock(parse_envelope(line), key) if line is not None and key is not None else None
    request = {"label": LABEL, "envelope": line}
    job = replace(run.job, backup_id=backup_id, request=request)
    with run.aside(job) as inner:
        plan = await _plan(inner, components, targets)
        if not plan.parts:
            return None
        expires = datetime.now(UTC) + timedelta(days=run.tools.settings.safety_days)
        try:
            ending = await save(inner, plan, lock, expires_at=expires)
        except BackupError as error:
            if error.code is Code.NOTHING_TO_SAVE:
                return Safety(None, 0, tuple(inner.parts)) if targets else None
            if error.code in _STOPS_NOTHING:
                raise
            raise JobError(Code.SAFETY_FAILED, f"The safety archive could not be made: {error.message}") from error
        for result in inner.parts:
            if result.part.kind is PartKind.COMPONENT and result.outcome is not PartOutcome.SUCCEEDED:
                await run.threads.run(run.tools.store.remove, job.backup_id)
                why = result.error.message if result.error else "it could not be read"
                raise JobError(Code.SAFETY_FAILED, f"'{result.part.label}' could not be saved first: {why}")
        run.warnings.extend(
            f"{result.part.label}, saved first: {warning}" for result in inner.parts for warning in result.warnings
        )
        return Safety(job.backup_id, int(ending.result["size"]), tuple(inner.parts))


async def _plan(inner: JobRun, components: Sequence[str], targets: Sequence[VolumeTarget]) -> BackupPlan:
    settings = inner.tools.settings
    identity = await inner.threads.run(read_identity, settings.cell_root)
    found: tuple[ComponentFiles, ...] = ()
    try:
        inventory = await inner.threads.run(
            take_inventory,
            settings.cell_root,
            inner.tools.layout,
            chosen=components,
            leave_out=[settings.archives_dir, settings.state_dir],
        )
        found = tuple(item for item in inventory.components if item.entries or item.faults)
    except InputError as error:
        if error.code is not Code.CELL_ROOT_NOT_A_CELL:  # a bare machine has nothing to save yet
            raise JobError(error.code, error.message, hint=error.hint) from error
    volumes = tuple((target.part, replace(target.volume, exclude=(), pre=(), post=())) for target in targets)
    return BackupPlan(identity, tuple((Part(PartKind.COMPONENT, item.name), item) for item in found), volumes, ())
