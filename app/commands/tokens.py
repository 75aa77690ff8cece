"""`cell-backup token`: tokens for people and programs."""

import argparse
import sys
from typing import Any

from app.client.service import Service
from app.commands.calling import calling
from app.commands.parsing import Adding, add_service_options, adder, word
from app.commands.printing import moment, print_json, print_table, say
from app.telling.exits import Exit


def add(command: Adding) -> None:
    """Add the command."""
    text = "List, create, rotate and remove tokens."
    inner = adder(command("token", lambda _: Exit.USAGE, text))
    listing = inner("list", _list, "List the named tokens; never a token itself.")
    creating = inner("create", _create, "Make a token and print it, this once.")
    rotating = inner("rotate", _rotate, "Put a new token in the place of one and print it, this once.")
    removing = inner("remove", _remove, "Remove a token, which is valid no longer.")
    for parser in (listing, creating, rotating, removing):
        add_service_options(parser)
    for parser in (creating, rotating, removing):
        parser.add_argument("name", type=word, metavar="NAME", help="name of the token")
    creating.add_argument("--scope", choices=("read", "admin"), default="read", help="'read' looks, 'admin' does all")


def _list(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        found = await service.get("/api/tokens")
        if parsed.json:
            print_json(found)
        else:
            rows = [
                (one["name"], one["scope"], moment(one["created_at"]), one["created_by"]) for one in found["tokens"]
            ]
            print_table(("NAME", "SCOPE", "CREATED", "BY"), rows)
        return Exit.SUCCEEDED

    return calling(parsed, work)


def _create(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        return _shown(
            await service.ask("POST", "/api/tokens", body={"name": parsed.name, "scope": parsed.scope}), parsed
        )

    return calling(parsed, work)


def _rotate(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        return _shown(await service.ask("POST", f"/api/tokens/{parsed.name}/rotate"), parsed)

    return calling(parsed, work)


def _shown(made: dict[str, Any], parsed: argparse.Namespace) -> int:
    if parsed.json:
        print_json(made)
    else:
        print("Keep it: it is not shown again.", file=sys.stderr)
        say(made["token"])
    return Exit.SUCCEEDED


def _remove(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        await service.ask("DELETE", f"/api/tokens/{parsed.name}")
        print_json({"removed": parsed.name}) if parsed.json else say(f"{parsed.name} is removed")
        return Exit.SUCCEEDED

    return calling(parsed, work)
