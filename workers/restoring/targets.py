"""Which volumes a restore brings back, and where each one goes."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.archive.verify import Report
from app.cell.services import Service, Services
from app.engine.base import Container
from app.errors import Code, PartError
from workers.belonging import other_home
from workers.restoring.known import Known
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
    tools: Tools,
    threads: Threads,
    report: Report,
    request: RestoreRequest,
    returning: Mapping[str, Service | None],
) -> VolumeChoice:
    """Choose the volumes and find where they go; those that must not or cannot go there are left out, with the reason.

    `returning` are the services whose manifests come back with the cell's files; None where one describes no data.
    """
    containers, away = await containers_of(tools)
    services = await known_services(tools, threads, containers)
    finder = _Finder(tools, threads, request, containers, services, Known.of(services, returning))
    targets: list[VolumeTarget] = []
    left_out: list[PartResult] = []
    saved = [result for result in results_of(report) if result.part.kind is PartKind.VOLUME]
    for result in saved:
        if not request.takes_service(result.part.service):
            continue
        fault = _unusable(result, request)
        if fault is not None:
            left_out.append(skipped(result.part, fault, PartOutcome.FAILED))
        elif away is not None:
            left_out.append(skipped(result.part, away))
        else:
            found = await finder.find(result)
            targets.append(found) if isinstance(found, VolumeTarget) else left_out.append(found)
    warnings = [warning for target in targets for warning in _about(target, finder.known)]
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


@dataclass(frozen=True, slots=True)
class _Finder:
    """Find where the volumes of one restore go."""

    tools: Tools
    threads: Threads
    request: RestoreRequest
    containers: Mapping[str, Container]
    services: Services
    known: Known

    async def find(self, result: PartResult) -> VolumeTarget | PartResult:
        """Find where a volume goes; give what is to be reported of it where it cannot be restored."""
        part = result.part
        try:
            volume = target_of(result, self.services, self.containers)
            target = VolumeTarget(result, volume, self.containers.get(volume.container))
            part = target.part
            self._check_known(target)
            if target.container is None:
                raise not_here(part, sorted(self.containers))
            await self._check_own(target, target.container)
        except PartError as error:
            return skipped(part, error, PartOutcome.FAILED)
        return await self._measured(target)

    def _check_known(self, target: VolumeTarget) -> None:
        """Raise PartError where only the archive says where a volume goes: not enough to empty a directory there."""
        volume, label = target.volume, target.part.label
        if not self.known.has_place(volume) and volume.service not in (self.request.services or ()):
            raise PartError(
                Code.UNKNOWN_SERVICE,
                f"Only the archive says that {label} is {volume.path} in {volume.container}; nothing here knows that.",
                hint="Where it is right, name the service in 'services'.",
            )

    async def _check_own(self, target: VolumeTarget, container: Container) -> None:
        """Raise PartError where the container is that of another cell, be its service named or not."""
        name, root = container.name, self.tools.settings.cell_root
        home = await self.threads.run(other_home, container, root)
        if home is not None:
            raise PartError(
                Code.PLAN_CONFLICT,
                f"{name} belongs to the cell in {home}, not to {root}, so that {target.part.label} is left out.",
                hint=f"For that cell, restore with {home} as cell root (--cell-root). For this one, make the container "
                f"anew from {root}, then restore its service again.",
            )

    async def _measured(self, target: VolumeTarget) -> VolumeTarget:
        engine, request = self.tools.engine, self.request
        return replace(
            target,
            overlay=(
                request.mode == "overlay"
                or target.saved.outcome is not PartOutcome.SUCCEEDED
                or (bool(target.volume.exclude) and request.safety != "full")
            ),
            free=await _asked(engine.free_space, target),
            used=await _asked(engine.measure, target),
        )


async def _asked(ask: Callable[[str, str], Any], target: VolumeTarget) -> int | None:
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            answer: int | None = await ask(target.volume.container, target.volume.path)
    except (PartError, TimeoutError):
        return None  # only shown, never relied on
    return answer


def _about(target: VolumeTarget, known: Known) -> list[str]:
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
    if not known.has_place(target.volume):
        why = (
            "nothing here knows that"
            if target.volume.service in known.services
            else f"the service {part.service} is not installed here"
        )
        said.append(
            f"{part.label} goes to {target.volume.path} in {target.volume.container}, as only the archive says and as "
            f"'services' asks for: {why}."
        )
    return said
