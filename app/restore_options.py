"""The options of `cell-backup restore` and `cell-backup regenerate`."""

import argparse
from pathlib import Path


def add_restore_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be asked of a restore; the same as by HTTP."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the archive")
    parser.add_argument("--cell-root", type=Path, required=True, metavar="DIR", help="where the cell comes back")
    parser.add_argument("--passphrase-file", type=Path, help="take the passphrase from the first line of this file")
    parser.add_argument("--components", type=_names, metavar="A,B", help="only these components")
    parser.add_argument(
        "--services", type=_names, metavar="A,B", help="only the volumes of these services ('' for none)"
    )
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
    parser.add_argument("--json", action="store_true", help="print the job's record instead of words")


def add_regenerate_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be asked of the regeneration alone."""
    parser.add_argument("--cell-root", type=Path, required=True, metavar="DIR", help="folder of the cell")
    parser.add_argument("--way", choices=("builtin", "hook"), default="builtin", help="'hook' asks the cell's own API")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
