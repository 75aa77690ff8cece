"""Step 8: Caddyfile, Corefile and routing rules, made anew from the configuration; and step 6 before it."""

import asyncio
import json
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Literal

from app.archive.parts import PartOutcome
from app.cell.cell_api import call_cell_api
from app.cell.generated.configuration import read_configuration
from app.cell.generated.fingerprint import fingerprint
from app.cell.generated.placing import keep
from app.cell.identity import CONFIG, read_identity
from app.errors import BackupError, Code, PartError
from workers.regeneration.generated_files import make_caddyfile, make_corefile
from workers.regeneration.regenerated import Made, Regeneration
from workers.regeneration.routing import make_routing
from workers.tools import Tools

log = logging.getLogger("cell_backup.worker")

_APPLIED = "applied.json"
_TELL_SECONDS = 5
_ROUTING_STAYS = "The routing stays as it was."


async def regenerate(tools: Tools, *, way: Literal["builtin", "hook", "off"]) -> Regeneration:
    """Do step 8: here, by the cell's own API (`hook`), or not at all; a part that fails leaves things as they are.

    Where no part failed, it is noted which configuration was applied.
    """
    settings = tools.settings
    if way == "off":
        made = Made(PartOutcome.SKIPPED, "not wanted.")
        return Regeneration(made, made, made)
    applied = await asyncio.to_thread(fingerprint, settings.cell_root, settings.template_dir)
    done = await _by_hook(tools) if way == "hook" else await _builtin(tools)
    if done.good:
        await asyncio.to_thread(_note, settings.state_dir, applied)
    return done


async def reload_cell(tools: Tools) -> tuple[str, ...]:
    """Do step 6: read the cell's configuration, and have the cell's API do so where its address is set; warnings."""
    settings = tools.settings
    warnings = list((await asyncio.to_thread(read_identity, settings.cell_root)).warnings)
    if not warnings:
        try:
            await asyncio.to_thread(read_configuration, settings.cell_root)
        except PartError as error:
            warnings.append(error.message)
    if settings.cell_api_url is not None:
        try:
            await call_cell_api(settings, settings.cell_api_reload_path)
        except PartError as error:
            warnings.append(f"{error.message} {error.hint}")
    return tuple(warnings)


async def tell_again(tools: Tools) -> None:
    """Have the cell's API read its files once more after they were put back; a moment must be enough for it."""
    if tools.settings.cell_api_url is None:
        return
    try:
        async with asyncio.timeout(_TELL_SECONDS):
            await call_cell_api(tools.settings, tools.settings.cell_api_reload_path)
    except (PartError, TimeoutError) as error:
        log.warning("the cell's API was not told that its files were put back: %r", error)


async def regenerate_if_changed(tools: Tools) -> None:
    """Do step 8 at a start, where the configuration is not the one that was applied last; never raises.

    Routing rules are applied at every start, for a container that was started again has lost them. What failed is
    tried again at the next start.
    """
    settings = tools.settings
    try:
        if settings.regenerate == "off" or not (settings.cell_root / CONFIG).is_file():
            return
        now = await asyncio.to_thread(fingerprint, settings.cell_root, settings.template_dir)
        if now != await asyncio.to_thread(_noted, settings.state_dir):
            log.info("the configuration is not the one that was applied last: regenerating")
            _tell(await regenerate(tools, way=settings.regenerate))
        elif settings.regenerate == "builtin":
            made = await _attempt(make_routing(tools), _ROUTING_STAYS)
            for warning in (made.message, *made.warnings):
                log.log(logging.INFO if made.outcome is not PartOutcome.FAILED else logging.WARNING, "%s", warning)
    except Exception:
        log.exception("regeneration at the start failed")


async def _builtin(tools: Tools) -> Regeneration:
    return Regeneration(
        caddyfile=await _attempt(make_caddyfile(tools), "The Caddyfile stays as it was."),
        corefile=await _attempt(make_corefile(tools), "The Corefile stays as it was."),
        routing=await _attempt(make_routing(tools), _ROUTING_STAYS),
    )


async def _by_hook(tools: Tools) -> Regeneration:
    made = await _attempt(_hook(tools), "This service generated nothing itself.")
    return Regeneration(made, made, made)


async def _hook(tools: Tools) -> Made:
    await call_cell_api(tools.settings, tools.settings.cell_api_apply_path)
    return Made(PartOutcome.SUCCEEDED, "done by the cell's own API.")


async def _attempt(making: Awaitable[Made], stays: str = "") -> Made:
    try:
        return await making
    except BackupError as error:
        changed = error.code is Code.ROLLBACK_FAILED
        return Made(PartOutcome.FAILED, error.message if changed else f"{error.message} {stays}".strip())


def _tell(done: Regeneration) -> None:
    for name, made in done.parts.items():
        log.info("regenerated %s: %s: %s", name, made.outcome, made.message)
    for warning in done.warnings:
        log.warning("regeneration: %s", warning)


def _note(state_dir: Path, applied: str) -> None:
    try:
        keep(state_dir / _APPLIED, json.dumps({"fingerprint": applied}).encode())
    except OSError as error:  # the next start will do the same work again, and no harm
        log.warning("%s cannot be written: %s", state_dir / _APPLIED, error.strerror)


def _noted(state_dir: Path) -> str | None:
    try:
        noted: Any = json.loads((state_dir / _APPLIED).read_bytes())
    except (OSError, ValueError):
        return None
    return noted.get("fingerprint") if isinstance(noted, dict) else None
