"""How commands are put together, and the options that many of them have."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from app.options.shared import add_json

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
Run = Callable[[argparse.Namespace], int]


class Adding(Protocol):
    """Add a command and give its parser; `run` does it and gives the exit code."""

    def __call__(self, name: str, run: Run, text: str) -> argparse.ArgumentParser:
        """Add one command."""


def adder(parser: argparse.ArgumentParser) -> Adding:
    """Give what adds commands to a parser."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Run, text: str) -> argparse.ArgumentParser:
        # without abbreviations: `--passphrase secret` would be taken for a file's name
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    return add


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add where the service is."""
    parser.add_argument("--url", help="address of the service; else CELL_BACKUP_URL, else http://127.0.0.1:8300")


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command has that calls the service."""
    add_url(parser)
    add_json(parser)


def add_no_wait(parser: argparse.ArgumentParser) -> None:
    """Add the option not to wait for a job."""
    parser.add_argument("--no-wait", action="store_true", help="queue the job, say its id, and leave it to the service")


def word(text: str) -> str:
    """Take an id or a name, which is a step of an address."""
    if not _WORD.fullmatch(text):
        raise argparse.ArgumentTypeError("has letters, digits, '.', '_' and '-'")
    return text


def is_file(parsed: argparse.Namespace) -> bool:
    """Tell whether a command is about a file of this machine, and not about a backup of the service.

    A file is what exists, what has a slash in it, what is called like an archive, and all with `--alone`.
    """
    target = str(parsed.target)
    looks_like_one = "/" in target or target.endswith((".tar.gz", ".tar.gz.age"))
    return bool(parsed.alone) or looks_like_one or Path(target).exists()


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add what a command is about: an archive's file, or the id of a backup."""
    parser.add_argument("target", metavar="ID|FILE", help="id of a backup of the service, or path of an archive")
    parser.add_argument("--alone", action="store_true", help="it is a file, and no service is asked")
