"""Caddyfile and Corefile: made, checked, put in their place, and made known to those who read them."""

import asyncio
from pathlib import Path
from typing import Any

from app.archive.parts import PartOutcome
from app.cell.generated import names, web
from app.cell.generated.checks import check_caddyfile, check_corefile
from app.cell.generated.configuration import DomainMode, read_configuration
from app.cell.generated.placing import place
from app.cell.generated.templates import render
from app.engine.base import Engine
from app.errors import Code, PartError
from workers.regeneration.core_containers import NOT_THERE, ask, last_words, why_away
from workers.regeneration.regenerated import Made
from workers.tools import Tools

CADDY = "cell-caddy"
DNS = "cell-dns"
_STDIN = ("--config", "-", "--adapter", "caddyfile")
_FIND = (
    'file=$1; shift; for d; do [ -r "$d/$file.crt" ] && [ -r "$d/$file.key" ] && { echo "$d"; exit 0; }; done; exit 1'
)


async def make_caddyfile(tools: Tools) -> Made:
    """Make the Caddyfile anew and have Caddy load it; PartError or InputError where the one that is there stays."""
    engine, root = tools.engine, tools.settings.cell_root
    found = await asyncio.to_thread(lambda: web.read_web(root, read_configuration(root)))
    away = await why_away(engine, CADDY, root)
    given = {"domain": found.domain, "mode": found.mode, "sites": found.sites} | await _tls(engine, root, found, away)
    text = await asyncio.to_thread(render, "Caddyfile", tools.settings.template_dir, given)
    check_caddyfile(text)
    if away is None and not await _caddy_accepts(engine, text):
        away = f"{CADDY} has no command 'caddy'"
    done = await _put(tools, web.FILE, text)
    if away is not None:
        return Made(PartOutcome.SUCCEEDED, f"{done}, not yet loaded: {away}.", found.warnings)
    trouble = await _load(engine, text)
    if trouble is not None:
        return Made(PartOutcome.FAILED, f"{done}, but Caddy did not load it: {trouble}.", found.warnings)
    return Made(PartOutcome.SUCCEEDED, f"{done} and loaded.", found.warnings)


async def make_corefile(tools: Tools) -> Made:
    """Make the Corefile anew and tell CoreDNS; PartError or InputError where the one that is there stays."""
    root = tools.settings.cell_root
    found = await asyncio.to_thread(lambda: names.read_names(root, read_configuration(root)))
    upstreams = await asyncio.to_thread(names.upstreams, root)
    given = {"zones": found.zones, "forwards": found.forwards, "upstreams": upstreams}
    text = await asyncio.to_thread(render, "Corefile", tools.settings.template_dir, given)
    check_corefile(text)
    done = await _put(tools, names.FILE, text)
    away = await why_away(tools.engine, DNS, root)
    if away is not None:
        return Made(PartOutcome.SUCCEEDED, f"{done}, not yet loaded: {away}.", found.warnings)
    try:
        await tools.engine.signal(DNS, "USR1")
    except PartError as error:
        return Made(PartOutcome.FAILED, f"{done}, but {DNS} was not told: {error.message}", found.warnings)
    return Made(PartOutcome.SUCCEEDED, f"{done}, and {DNS} was told.", found.warnings)


async def _put(tools: Tools, relative: str, text: str) -> str:
    kept = tools.settings.state_dir / "replaced" / Path(relative).name
    return "written" if await asyncio.to_thread(place, tools.settings.cell_root, relative, text, kept) else "unchanged"


async def _tls(engine: Engine, root: Path, found: web.Web, away: str | None) -> dict[str, Any]:
    """Choose where certificates come from: at home the vault's where Caddy sees it, else Caddy's own authority."""
    if found.mode is not DomainMode.LAN:
        return {"tls": "automatic", "certificate": None, "key": None}
    folder = await _certificates(engine, root, found.domain, away) if found.has_certificate else None
    if folder is None:
        return {"tls": "internal", "certificate": None, "key": None}
    return {"tls": "files", "certificate": f"{folder}/{found.domain}.crt", "key": f"{folder}/{found.domain}.key"}


async def _certificates(engine: Engine, root: Path, domain: str, away: str | None) -> str | None:
    told = await asyncio.to_thread(web.told_folder, root, domain)
    if away is not None:
        return told
    folders = list(dict.fromkeys(filter(None, (told, *web.CERTIFICATE_FOLDERS))))
    seen = await ask(engine, CADDY, ["sh", "-c", _FIND, "sh", domain, *folders])
    return next((folder for folder in folders if seen.exit_code == 0 and folder == seen.output.strip()), None)


async def _caddy_accepts(engine: Engine, text: str) -> bool:
    """Have Caddy look at the file; False where it has no such command, PartError where it does not like it."""
    answer = await ask(engine, CADDY, ["caddy", "validate", *_STDIN], stdin=text)
    if answer.exit_code in NOT_THERE:
        return False
    if answer.exit_code != 0:
        message = f"The generated Caddyfile does not hold: {last_words(answer)}."
        raise PartError(Code.GENERATED_INVALID, message)
    return True


async def _load(engine: Engine, text: str) -> str | None:
    """Have Caddy load the file, by its text: what Caddy sees in its container may still be the old one; say why not."""
    try:
        answer = await ask(engine, CADDY, ["caddy", "reload", *_STDIN], stdin=text)
    except PartError as error:
        return error.message
    return None if answer.exit_code == 0 else last_words(answer)
