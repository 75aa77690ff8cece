"""What a backup will hold: the chosen components and volumes, and what is known to be missing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from app.archive.parts import Part, PartKind, PartOutcome, PartResult, fault_of
from app.cell.files import ComponentFiles, take_inventory
from app.cell.identity import Identity, read_identity
from app.cell.selection import Selection, select
from app.cell.services import Services, Volume, find_services
from app.engine.base import Container
from app.errors import InputError, JobError, PartError
from workers.running import JobRun

_MEASURE_LIMIT = 15


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """Hold what will be saved, in restore order; `left_out` says what cannot be, and why."""

    identity: Identity
    components: tuple[tuple[Part, ComponentFiles], ...]
    volumes: tuple[tuple[Part, Volume], ...]
    left_out: tuple[PartResult, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Name every part, those that are left out last."""
        planned = [part for part, _ in (*self.components, *self.volumes)]
        return (*planned, *(result.part for result in self.left_out))


async def plan_backup(run: JobRun) -> BackupPlan:
    """Look at the cell and its containers; estimates the total for the progress.

    Raises JobError for a cell root or a choice that is no longer what it was when the job was queued.
    """
    settings, layout = run.tools.settings, run.tools.layout
    containers, engine_fault = await _containers(run)
    labels = {name: container.labels for name, container in containers.items()}
    services = await run.threads.run(find_services, settings.cell_root, labels)
    identity = await run.threads.run(read_identity, settings.cell_root)
    run.warnings.extend(identity.warnings)
    try:
        chosen = select(
            run.job.request.get("components"),
            run.job.request.get("services"),
            known_components=layout.names,
            known_services=services.known,
        )
        inventory = await run.threads.run(
            take_inventory,
            settings.cell_root,
            layout,
            chosen=chosen.components,
            leave_out=[settings.archives_dir, settings.state_dir],
        )
    except InputError as error:
        raise JobError(error.code, error.message, hint=error.hint) from error
    volumes, left_out = _volumes(services, chosen, containers, engine_fault)
    if engine_fault is not None:
        run.warnings.append(f"Volumes that only labels describe cannot be seen: {engine_fault.message}")
        left_out += await _unseen(run, services, chosen, engine_fault)
    if not await run.threads.run(_has_data, settings.cell_root):
        run.warnings.append("The cell has nothing under data/: is its disk mounted?")
    totals = inventory.totals()
    run.progress.total = totals.bytes + await _estimate(run, volumes)
    run.progress.estimated = bool(volumes)
    components = tuple((Part(PartKind.COMPONENT, files.name), files) for files in inventory.components)
    return BackupPlan(identity, components, volumes, left_out)


async def _containers(run: JobRun) -> tuple[Mapping[str, Container], PartError | None]:
    try:
        return {container.name: container for container in await run.tools.engine.containers()}, None
    except PartError as error:
        return {}, error


def _volumes(
    services: Services,
    chosen: Selection,
    containers: Mapping[str, Container],
    engine_fault: PartError | None,
) -> tuple[tuple[tuple[Part, Volume], ...], tuple[PartResult, ...]]:
    """Sort the chosen volumes into those that can be tried and those that cannot."""
    planned: list[tuple[Part, Volume]] = []
    left_out: list[PartResult] = []
    for volume in (volume for service in services.found for volume in service.volumes):
        if not chosen.takes_service(volume.service):
            continue
        part = _part(volume, containers.get(volume.container))
        if engine_fault is not None:
            left_out.append(PartResult(part, PartOutcome.SKIPPED, error=fault_of(engine_fault)))
        else:
            planned.append((part, volume))
    for fault in services.faults:
        if chosen.takes_service(fault.service_id):
            part = Part(PartKind.VOLUME, "unknown", service=fault.service_id)
            left_out.append(PartResult(part, PartOutcome.FAILED, error=fault_of(fault.error)))
    return tuple(planned), tuple(left_out)


async def _unseen(
    run: JobRun, services: Services, chosen: Selection, engine_fault: PartError
) -> tuple[PartResult, ...]:
    """Give the volumes of services that the newest backup had and nothing describes now: labels did."""
    newest = next(iter(await run.threads.run(run.tools.store.entries)), None)
    return tuple(
        PartResult(result.part, PartOutcome.SKIPPED, error=fault_of(engine_fault))
        for result in (newest.parts if newest is not None else ())
        if result.part.service is not None
        and result.part.service not in services.known
        and chosen.takes_service(result.part.service)
    )


def _has_data(root: Path) -> bool:
    try:
        return any((root / "data").iterdir())
    except OSError:
        return False


def _part(volume: Volume, container: Container | None) -> Part:
    part = Part(PartKind.VOLUME, volume.name, service=volume.service, container=volume.container, path=volume.path)
    return part if container is None else replace(part, image=container.image, digest=container.digest)


async def _estimate(run: JobRun, volumes: tuple[tuple[Part, Volume], ...]) -> int:
    """Guess the bytes in the volumes: what the newest archive that has them says, else `du` in the container."""
    if not volumes:
        return 0
    known: dict[str, int] = {}
    for entry in reversed(await run.threads.run(run.tools.store.entries)):
        known |= {result.part.label: result.bytes for result in entry.parts if result.outcome is PartOutcome.SUCCEEDED}
    total = 0
    for part, volume in volumes:
        total += known[part.label] if part.label in known else await _measured(run, volume)
    return total


async def _measured(run: JobRun, volume: Volume) -> int:
    try:
        async with asyncio.timeout(_MEASURE_LIMIT):
            return await run.tools.engine.measure(volume.container, volume.path) or 0
    except (PartError, TimeoutError):
        return 0  # it will fail, or not, when it is read: this is a guess for the progress bar
