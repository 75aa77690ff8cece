"""What a request wants saved, checked against what the cell has."""

import asyncio
from collections.abc import Mapping

from app.api.resources import Resources
from app.cell.selection import Selection, select
from app.cell.services import find_services
from app.errors import PartError

ENGINE_PATIENCE = 3.0


async def check_choice(given: Resources, components: list[str] | None, services: list[str] | None) -> Selection:
    """Check the chosen components and services.

    The engine is asked only where a service is named that has no manifest: it may be described by labels on a
    container, and where the engine is away that cannot be known. Raises InputError as `select` does.
    """
    known = await _known_services(given, {}) if services else ()
    if not set(services or ()) <= set(known):
        known = await _known_services(given, await _labels(given))
    return select(components, services, known_components=given.layout.names, known_services=known)


async def _known_services(given: Resources, labels: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    found = await asyncio.to_thread(find_services, given.settings.cell_root, labels)
    return found.known


async def _labels(given: Resources) -> dict[str, Mapping[str, str]]:
    try:
        async with asyncio.timeout(ENGINE_PATIENCE):
            return {container.name: container.labels for container in await given.engine.containers()}
    except (PartError, TimeoutError):
        return {}
