"""The options of `cell-backup restore` and `cell-backup regenerate`."""

import argparse
from pathlib import Path

from app.options.shared import add_choice_options, add_json, add_passphrase_options


def add_restore_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be asked of a restore; the same as by HTTP."""
    parser.add_argument("target", metavar="ID|FILE", help="id of a backup of the service, or path of an archive")
    parser.add_argument("--alone", action="store_true", help="it is a file, and no service is asked")
    parser.add_argument("--cell-root", type=Path, metavar="DIR", help="where the cell comes back; for a file")
    add_passphrase_options(parser)
    add_choice_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would happen; change nothing")
    parser.add_argument("--safety", choices=("full", "files", "none"), default="full", help="what is saved first")
    parser.add_argument(
        "--mode", choices=("equal", "overlay"), default="equal", help="'overlay' keeps what the archive does not have"
    )
    parser.add_argument(
        "--damaged", choices=("refuse", "accept"), default="refuse", help="what to do with parts not saved whole"
    )
    parser.add_argument(
        "--regenerate", choices=("builtin", "hook", "off"), help="who makes Caddyfile, Corefile and routing rules anew"
    )
    add_json(parser)


def restore_request(parsed: argparse.Namespace) -> dict[str, object]:
    """Give what is asked of a restore, as a request has it, but for the passphrase."""
    names = ("components", "services", "dry_run", "safety", "mode", "damaged", "regenerate")
    return {name: getattr(parsed, name) for name in names}


def add_regenerate_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be asked of the regeneration alone."""
    parser.add_argument("--cell-root", type=Path, required=True, metavar="DIR", help="folder of the cell")
    parser.add_argument("--way", choices=("builtin", "hook"), default="builtin", help="'hook' asks the cell's own API")
    add_json(parser)
