"""`cell-backup backup`: by the service, or alone."""

import argparse
from typing import Any

from app.client.service import Service
from app.commands.calling import calling, started
from app.commands.parsing import Adding, add_no_wait, add_url
from app.options.backup import add_backup_options, locking_passphrase
from app.processes import run_alone


def add(command: Adding) -> None:
    """Add the command."""
    parser = command("backup", _backup, "Back up the cell, by the service or alone.")
    add_backup_options(parser)
    add_url(parser)
    add_no_wait(parser)


def _backup(parsed: argparse.Namespace) -> int:
    if parsed.alone:
        run_alone(parsed.words)
    body: dict[str, Any] = {
        name: value for name in ("components", "services", "label") if (value := getattr(parsed, name)) is not None
    }
    passphrase = locking_passphrase(parsed)
    if passphrase is not None:
        body["passphrase"] = passphrase

    async def work(service: Service) -> int:
        return await started(service, parsed, "/api/config/backup", body)

    return calling(parsed, work)
