"""The processes of the service, the quick archive, and the demo."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from app.cell.quick import make_quick_archive
from app.commands.parsing import Adding
from app.commands.printing import print_json, say
from app.demo.story import run_demo
from app.logs import configure_logging
from app.options.shared import add_json
from app.processes import banner, keep_worker, run_worker, serve, serve_api
from app.settings import Settings, load_settings
from app.telling.exits import Exit


def add(command: Adding) -> None:
    """Add the commands."""
    for name, run, text in (
        ("serve", _serve, "Run API and worker, with a server of its own where no CELL_BACKUP_REDIS_URL is set."),
        ("api", _api, "Run the API alone."),
        ("worker", _worker, "Run a worker alone."),
        ("quick", _quick, "Write the quick archive of a cell: its files, no service data, no service needed."),
    ):
        parser = command(name, run, text)
        parser.add_argument("--cell-root", type=Path, help="folder of the cell")
        if name == "quick":
            add_json(parser)
        if name == "worker":
            parser.add_argument("--keep", action="store_true", help="start it again when it ends or hangs")
    command("demo", _demo, "Back up a sample cell, lose it, bring it back, and clean up.")


def settings_of(parsed: argparse.Namespace) -> Settings:
    """Read all settings; an option comes first."""
    settings = load_settings()
    if parsed.cell_root is not None:
        settings = settings.model_copy(update={"cell_root": parsed.cell_root.expanduser().absolute()})
    return settings


def _logged(parsed: argparse.Namespace) -> Settings:
    settings = settings_of(parsed)
    configure_logging(settings)
    return settings


def _serve(parsed: argparse.Namespace) -> int:
    settings = _logged(parsed)
    asyncio.run(serve(settings, lambda address: print(banner(address, settings), flush=True)))
    return Exit.SUCCEEDED


def _api(parsed: argparse.Namespace) -> int:
    settings = _logged(parsed)
    asyncio.run(serve_api(settings, lambda address: print(banner(address, settings), flush=True)))
    return Exit.SUCCEEDED


def _worker(parsed: argparse.Namespace) -> int:
    settings = _logged(parsed)
    if not parsed.keep:
        run_worker(settings)
    asyncio.run(keep_worker(settings))
    return Exit.SUCCEEDED


def _quick(parsed: argparse.Namespace) -> int:
    settings = _logged(parsed)
    archive = make_quick_archive(
        settings.cell_root,
        now=datetime.now(UTC),
        leave_out=[settings.archives_dir, settings.state_dir],
        gzip_level=settings.gzip_level,
    )
    if parsed.json:
        facts = {"file": str(archive.path), "files": archive.files, "bytes": archive.bytes}
        print_json(facts | {"warnings": list(archive.warnings)})
        return Exit.SUCCEEDED
    for warning in archive.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    say(f"{archive.path}: {archive.files} files, {archive.bytes} bytes, no live service data")
    return Exit.SUCCEEDED


def _demo(_: argparse.Namespace) -> int:
    run_demo()
    return Exit.SUCCEEDED
