"""`cell-backup restore` and `cell-backup regenerate`: by the service, or alone."""

import argparse
from typing import Any

from app.client.service import Service
from app.commands.calling import calling, started, unlocking
from app.commands.parsing import Adding, add_no_wait, add_url, is_file
from app.options.restore import add_regenerate_options, add_restore_options, restore_request
from app.processes import run_alone


def add(command: Adding) -> None:
    """Add the commands."""
    restoring = command("restore", _restore, "Bring a cell back, by the service from a backup or alone from a file.")
    add_restore_options(restoring)
    add_url(restoring)
    add_no_wait(restoring)
    regenerating = command(
        "regenerate", _regenerate, "Make Caddyfile, Corefile and routing rules anew, and apply them."
    )
    add_regenerate_options(regenerating)


def _restore(parsed: argparse.Namespace) -> int:
    if is_file(parsed):
        run_alone(parsed.words)

    wanted: dict[str, Any] = {name: value for name, value in restore_request(parsed).items() if value is not None}
    wanted |= unlocking(parsed)

    async def work(service: Service) -> int:
        path = f"/api/config/restore/{parsed.target}"
        return await started(service, parsed, path, wanted, plan=parsed.dry_run)

    return calling(parsed, work)


def _regenerate(parsed: argparse.Namespace) -> int:
    run_alone(parsed.words)
    raise AssertionError("this process is another one now")
