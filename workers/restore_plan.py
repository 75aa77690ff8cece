"""What a restore would do: made from the archive and from what the cell has now, followed by the real run."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.archive.verify import Report
from app.cell.dependencies import unmet
from app.cell.restoring.plan import FilePlan
from app.cell.services import Services
from app.engine.base import Container
from app.errors import Code, PartError
from workers.restore_request import RestoreRequest
from workers.restore_volumes import VolumeTarget, containers_of, known_services, not_here, skipped, target_of
from workers.threads import Threads
from workers.tools import Tools

COMPOSE, ENV = "docker-compose.yml", ".env"
_ASK_SECONDS = 15


@dataclass(frozen=True, slots=True)
class ComponentChoice:
    """Hold the components to restore; those in `overlay` keep what the archive does not have."""

    names: tuple[str, ...]
    overlay: frozenset[str]
    left_out: tuple[PartResult, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VolumeChoice:
    """Hold the volumes to restore, in the archive's order, those that are not, and the containers as they are now."""

    targets: tuple[VolumeTarget, ...]
    left_out: tuple[PartResult, ...]
    warnings: tuple[str, ...]
    containers: Mapping[str, Container]


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Hold all that a restore will do; `empty_secrets` names variables that would come back without a value."""

    report: Report
    components: ComponentChoice
    files: FilePlan
    volumes: VolumeChoice
    empty_secrets: tuple[str, ...]
    warnings: tuple[str, ...]
    space: Mapping[str, Any]

    @property
    def left_out(self) -> tuple[PartResult, ...]:
        """Give the parts that were asked for and will not be restored, with the reason of each."""
        return (*self.components.left_out, *self.volumes.left_out)

    @property
    def empty(self) -> bool:
        """Tell whether nothing would be restored at all."""
        return not self.components.names and not self.volumes.targets

    def counts(self, component: str) -> tuple[int, int]:
        """Give the files and bytes that a component has once it is restored."""
        told = next(item for item in self.files.summary(0) if item["name"] == component)
        kinds = [told[action] for action in ("create", "replace", "leave")]
        return sum(kind["files"] for kind in kinds), sum(kind["bytes"] for kind in kinds)

    def to_json(self) -> dict[str, Any]:
        """Write the plan down for people and programs."""
        header = self.report.header
        return {
            "archive": {
                "backup_id": header.backup_id if header else None,
                "created_at": header.created_at.isoformat() if header else None,
                "cell_name": header.cell_name if header else None,
                "domain": header.domain if header else None,
                "files": self.report.files,
                "bytes": self.report.bytes,
            },
            "components": self.files.summary(),
            "volumes": [_target_json(target) for target in self.volumes.targets],
            "missing": [_left_out_json(result) for result in self.left_out],
            "empty_secrets": list(self.empty_secrets),
            "warnings": list(self.warnings),
            "space": dict(self.space),
        }


def choose_components(
    report: Report, request: RestoreRequest, known: Sequence[str], found: set[str]
) -> ComponentChoice:
    """Choose what to restore of the cell's files; `known` are the layout's names, `found` those with members.

    A component that the manifest calls failed is left out, unless damage is accepted: then what is there of it is laid
    over what the cell has, because what is missing in the archive may still be there.
    """
    names: list[str] = []
    overlay: set[str] = set()
    left_out: list[PartResult] = []
    warnings: list[str] = []
    saved = {result.part.name: result for result in _results(report) if result.part.kind is PartKind.COMPONENT}
    strange = sorted(set(saved) - set(known))
    if strange:
        warnings.append(
            f"The archive has components that this layout does not know ({', '.join(strange)}): its files are laid "
            "over what the cell has, and nothing is removed."
        )
    for name in known:
        part = Part(PartKind.COMPONENT, name)
        if not request.takes_component(name):
            continue
        result = saved.get(name)
        if name not in found and result is None:
            if request.components is not None:
                left_out.append(skipped(part, _nothing_of(name)))
            continue
        if result is not None and result.outcome is not PartOutcome.SUCCEEDED:
            if not request.accept_damaged or result.outcome is PartOutcome.SKIPPED:
                left_out.append(skipped(part, _damaged(result), PartOutcome.FAILED))
                continue
            warnings.append(_accepted(result))
            overlay.add(name)
        names.append(name)
        if strange or request.mode == "overlay" or (report.header is not None and result is None):
            overlay.add(name)
    return ComponentChoice(tuple(names), frozenset(overlay), tuple(left_out), tuple(warnings))


async def choose_volumes(
    tools: Tools, threads: Threads, report: Report, request: RestoreRequest, returning: Collection[str]
) -> VolumeChoice:
    """Choose the volumes and find where they go; those whose container is not here are left out, with the reason.

    `returning` are the services whose manifests come back with the cell's files.
    """
    containers, away = await containers_of(tools)
    services = await known_services(tools, threads, containers)
    targets: list[VolumeTarget] = []
    left_out: list[PartResult] = []
    warnings: list[str] = []
    saved = [result for result in _results(report) if result.part.kind is PartKind.VOLUME]
    for result in saved:
        if not request.takes_service(result.part.service):
            continue
        fault = _unusable(result, request)
        if fault is not None:
            left_out.append(skipped(result.part, fault, PartOutcome.FAILED))
            continue
        if away is not None:
            left_out.append(skipped(result.part, away))
            continue
        try:
            target = await _target(tools, result, services, containers, request)
        except PartError as error:
            left_out.append(skipped(result.part, error, PartOutcome.FAILED))
            continue
        if target.container is None:
            fault = not_here(target.part, sorted(containers))
            left_out.append(skipped(target.part, fault, PartOutcome.FAILED))
            continue
        warnings += _about(target, {*services.known, *returning})
        targets.append(target)
    there = {result.part.service for result in saved}
    left_out.extend(
        skipped(Part(PartKind.VOLUME, "unknown", service=service), _nothing_of(service))
        for service in request.services or ()
        if service not in there
    )
    return VolumeChoice(tuple(targets), tuple(left_out), tuple(warnings), containers)


def warnings_of(
    components: ComponentChoice, volumes: VolumeChoice, files: FilePlan, empty_secrets: Sequence[str]
) -> tuple[str, ...]:
    """Gather what people should know before they agree."""
    empty = [f"{name} will be empty: {COMPOSE} uses it, and {ENV} does not give it a value." for name in empty_secrets]
    return (*components.warnings, *volumes.warnings, *unmet(components.names), *empty, *files.warnings)


def _results(report: Report) -> tuple[PartResult, ...]:
    return () if report.manifest is None else report.manifest.parts


def _unusable(result: PartResult, request: RestoreRequest) -> PartError | None:
    if result.outcome is PartOutcome.SUCCEEDED:
        return None
    if request.accept_damaged and result.outcome is PartOutcome.FAILED and result.files:
        return None
    return _damaged(result)


async def _target(
    tools: Tools,
    result: PartResult,
    services: Services,
    containers: Mapping[str, Container],
    request: RestoreRequest,
) -> VolumeTarget:
    volume = target_of(result, services, containers)
    target = VolumeTarget(result, volume, containers.get(volume.container))
    if target.container is None:
        return target
    return replace(
        target,
        overlay=request.mode == "overlay" or result.outcome is not PartOutcome.SUCCEEDED,
        free=await _asked(tools.engine.free_space, target),
        used=await _asked(tools.engine.measure, target),
    )


async def _asked(ask: Callable[[str, str], Any], target: VolumeTarget) -> int | None:
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            answer: int | None = await ask(target.volume.container, target.volume.path)
    except (PartError, TimeoutError):
        return None  # only shown, never relied on
    return answer


def _about(target: VolumeTarget, installed: Collection[str]) -> list[str]:
    part, container = target.saved.part, target.container
    said = []
    if target.saved.outcome is not PartOutcome.SUCCEEDED:
        said.append(_accepted(target.saved))
    if container is not None and part.digest is not None and container.digest != part.digest:
        said.append(
            f"{part.label} was saved from the image {part.image}, and {container.name} runs another build of "
            f"{container.image}: look whether it reads the data."
        )
    if part.service not in installed:
        said.append(
            f"The service {part.service} is not installed here; only its container {target.volume.container} is."
        )
    return said


def _nothing_of(name: str) -> PartError:
    return PartError(Code.NOTHING_TO_RESTORE, f"The archive has nothing of '{name}'.")


def _damaged(result: PartResult) -> PartError:
    why = result.error.message if result.error is not None else "its manifest does not say why"
    return PartError(Code.PART_DAMAGED, f"'{result.part.label}' was not saved whole: {why}")


def _accepted(result: PartResult) -> str:
    shown = ", ".join(result.damaged[:5]) + (" and more" if len(result.damaged) > 5 else "")
    damage = f" Damaged in it: {shown}." if shown else ""
    return f"'{result.part.label}' was not saved whole; what the archive has of it is taken as asked.{damage}"


def _target_json(target: VolumeTarget) -> dict[str, Any]:
    container = target.container
    return {
        "name": target.part.label,
        "container": target.volume.container,
        "state": container.state if container else None,
        "path": target.volume.path,
        "mode": "overlay" if target.overlay else "equal",
        "quiesce": target.volume.quiesce,
        "files": target.saved.files,
        "bytes": target.saved.bytes,
        "bytes_now": target.used,
        "bytes_free": target.free,
    }


def _left_out_json(result: PartResult) -> dict[str, Any]:
    error = result.error
    return {
        "kind": result.part.kind,
        "name": result.part.label,
        "code": error.code if error else None,
        "message": error.message if error else None,
        "hint": error.hint if error else None,
    }
