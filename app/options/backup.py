"""The options of `cell-backup backup`."""

import argparse
from pathlib import Path

from app.options.passphrases import new_passphrase
from app.options.shared import add_choice_options, add_json, add_passphrase_options


def add_backup_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be asked of a backup; the same as by HTTP."""
    add_choice_options(parser)
    parser.add_argument("--label", help="a line to recognise the backup by")
    add_passphrase_options(parser, prompt=True)
    parser.add_argument("--alone", action="store_true", help="do it in this process, without a service")
    parser.add_argument("--cell-root", type=Path, metavar="DIR", help="folder of the cell; with --alone")
    add_json(parser)


def locking_passphrase(parsed: argparse.Namespace) -> str | None:
    """Give the passphrase that encrypts the backup, None for a plain one; raises as `new_passphrase` does."""
    if parsed.passphrase_file is None and not parsed.passphrase_prompt:
        return None
    return new_passphrase(parsed.passphrase_file)
