"""Which volumes a restore brings back, and where each one goes."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.archive.verify import Report
from app.cell.services import Volume
from app.engine.base import Container
from app.errors import Code, PartError
from workers.restoring.request import RestoreRequest
from workers.restoring.trust import accepted, damaged, nothing_of, results_of
from workers.restoring.volumes import VolumeTarget, containers_of, known_services, not_here, skipped, target_of
from workers.threads import Threads
from workers.tools import Tools

_ASK_SECONDS = 15


@dataclass(frozen=True, slots=True)
class VolumeChoice:
    """Hold the volumes to restore, in the archive's order, those that are not, and the containers as they are now."""

    targets: tuple[VolumeTarget, ...]
    left_out: tuple[PartResult, ...]
    warnings: tuple[str, ...]
    containers: Mapping[str, Container]


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
    saved = [result for result in results_of(report) if result.part.kind is PartKind.VOLUME]
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
            volume = target_of(result, services, containers)
            _check_known(volume, {*services.known, *returning, *(request.services or ())})
            target = await _target(tools, result, volume, containers, request)
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
        skipped(Part(PartKind.VOLUME, "unknown", service=service), nothing_of(service))
        for service in request.services or ()
        if service not in there
    )
    return VolumeChoice(tuple(targets), tuple(left_out), tuple(warnings), containers)


def _unusable(result: PartResult, request: RestoreRequest) -> PartError | None:
    if result.outcome is PartOutcome.SUCCEEDED:
        return None
    if request.accept_damaged and result.outcome is PartOutcome.FAILED and result.files:
        return None
    return damaged(result)


def _check_known(volume: Volume, installed: Collection[str]) -> None:
    """Raise PartError where only the archive says where a volume goes: not enough to empty a directory there."""
    if volume.service not in installed:
        raise PartError(
            Code.UNKNOWN_SERVICE,
            f"No manifest and no label here knows the service {volume.service}.",
            hint=f"Where {volume.path} in {volume.container} is right, name the service in 'services'.",
        )


async def _target(
    tools: Tools,
    result: PartResult,
    volume: Volume,
    containers: Mapping[str, Container],
    request: RestoreRequest,
) -> VolumeTarget:
    target = VolumeTarget(result, volume, containers.get(volume.container))
    if target.container is None:
        return target
    return replace(
        target,
        overlay=(
            request.mode == "overlay"
            or result.outcome is not PartOutcome.SUCCEEDED
            or (bool(volume.exclude) and request.safety != "full")
        ),
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
        said.append(accepted(target.saved))
    if container is not None and part.digest is not None and container.digest != part.digest:
        said.append(
            f"{part.label} was saved from the image {part.image}, and {container.name} runs another build of "
            f"{container.image}: look whether it reads the data."
        )
    if target.volume.exclude:
        excluded = ", ".join(target.volume.exclude[:5])
        fate = (
            "stays, and so does what came after the backup"
            if target.overlay
            else "is removed, and the safety archive keeps it"
        )
        said.append(f"{part.label}: what its manifest excludes ({excluded}) is in no backup; here it {fate}.")
    if part.service not in installed:
        said.append(
            f"The service {part.service} is not installed here; only its container {target.volume.container} is."
        )
    return said
