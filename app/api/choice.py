"""What a request wants saved or restored, checked against what the cell or the archive has."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from app.api.resources import Resources
from app.catalog.base import Entry
from app.cell.documents import printable
from app.cell.layout import Layout
from app.cell.selection import Selection, select
from app.cell.services import find_services
from app.errors import Code, InputError, PartError

ENGINE_PATIENCE = 3.0
Name = Annotated[str, Field(min_length=1, max_length=128)]


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


def check_restore_choice(
    layout: Layout, entry: Entry, components: list[str] | None, services: list[str] | None
) -> None:
    """Check what is wanted of an archive as far as that can be told without opening it.

    Components are those of the layout. Services are known where a sidecar names the archive's parts; else the job finds
    out. Raises InputError as `select` does.
    """
    held = sorted({result.part.service for result in entry.parts if result.part.service is not None})
    unknown = sorted(set(services or ()) - set(held)) if entry.parts else []
    if unknown:
        names = ", ".join(f"'{printable(name[:64])}'" for name in unknown[:5])
        there_are = f"it has that of {', '.join(held)}" if held else "it has that of no service"
        raise InputError(Code.UNKNOWN_SERVICE, f"The backup has no data of {names}; {there_are}.")
    select(components, services, known_components=layout.names, known_services=services or ())
