"""Options that the commands of the service have in common with those that work alone."""

import argparse
from pathlib import Path


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of words")


def add_choice_options(parser: argparse.ArgumentParser) -> None:
    """Add what is saved or restored."""
    parser.add_argument("--components", type=_names, metavar="A,B", help="only these components ('' for none)")
    parser.add_argument(
        "--services", type=_names, metavar="A,B", help="only the volumes of these services ('' for none)"
    )


def add_passphrase_options(parser: argparse.ArgumentParser, *, which: str = "passphrase", prompt: bool = False) -> None:
    """Add where a passphrase comes from; with `prompt`, none is asked for unless that option is given."""
    ways = parser.add_mutually_exclusive_group()
    name, words = f"{which.replace('-', '_')}_file", which.replace("-", " ")
    ways.add_argument(
        f"--{which}-file", type=Path, metavar="FILE", help=f"take the {words} from the first line of this file"
    )
    ways.add_argument(
        f"--{which}-fd", type=int, dest=name, metavar="N", help=f"take the {words} from this descriptor: 3 for 3<FILE"
    )
    if prompt:
        ways.add_argument("--passphrase-prompt", action="store_true", help="ask for the passphrase")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
