"""Commands that call the service: one connection, and the job that many of them start."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from app.catalog.names import check_backup_id
from app.client.following import END, follow
from app.client.place import find_service
from app.client.service import Service, connected
from app.commands.printing import print_json, print_line, say
from app.errors import UnavailableError
from app.options.passphrases import ask_passphrase
from app.telling.ended import tell_document
from app.telling.exits import Exit, exit_of
from app.telling.live import live

T = TypeVar("T")


def calling(parsed: argparse.Namespace, work: Callable[[Service], Awaitable[T]]) -> T:
    """Do what a command asks of the service."""

    async def call() -> T:
        async with connected(place) as service:
            return await work(service)

    place = find_service(parsed.url)
    return asyncio.run(call())


def unlocking(parsed: argparse.Namespace) -> dict[str, str]:
    """Give the part of a body that opens a backup, nothing for a plain one; asks for a passphrase where it must.

    Not within a call: there, Ctrl-C would not end the question.
    """
    check_backup_id(parsed.target)
    backup = calling(parsed, lambda service: service.get(f"/api/config/backups/{parsed.target}"))
    return {"passphrase": ask_passphrase(parsed.passphrase_file)} if backup["encrypted"] else {}


async def started(
    service: Service, parsed: argparse.Namespace, path: str, body: dict[str, Any], *, plan: bool = False
) -> int:
    """Start a job and see it to its end, unless `--no-wait` leaves it to the service."""
    accepted = await service.ask("POST", path, body=body)
    if parsed.no_wait:
        print_json(accepted) if parsed.json else say(accepted["job_id"])
        return Exit.SUCCEEDED
    if not parsed.json:
        print(f"job {accepted['job_id']}", file=sys.stderr, flush=True)
    job = await seen_to_its_end(service, accepted["job_id"], quiet=parsed.json)
    if parsed.json:
        print_json(job)
    else:
        tell_document(job, plan=plan)
        if job["kind"] == "backup" and job["state"] in {"succeeded", "partial"}:
            say(job["backup_id"])
    return exit_of(job["state"])


async def seen_to_its_end(service: Service, job_id: str, *, quiet: bool = False, lines: bool = False) -> dict[str, Any]:
    """Show how far a job is until it has ended, and give it; Ctrl-C leaves it running and says so.

    `quiet` shows nothing, `lines` prints each event as a line of JSON instead.
    """
    try:
        async with aclosing(follow(service, job_id)) as events:
            with live(hidden=quiet or lines) as show:
                async for event in events:
                    if lines:
                        print_line({"event": event.name, **event.data})
                    if event.name == END:
                        return event.data
                    show(event.data)
    except (asyncio.CancelledError, UnavailableError):
        print(f"The job goes on. 'cell-backup follow {job_id}' shows how it ends.", file=sys.stderr)
        raise
    raise AssertionError("a stream that ends without its last event is taken up again")
