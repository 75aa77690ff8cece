"""`cell-backup completion`: what makes a shell complete commands, options and files."""

import argparse
from collections.abc import Callable

import shtab

from app.commands.parsing import Adding
from app.telling.exits import Exit

_SHELLS = ("bash", "zsh", "fish")


def add(command: Adding, build: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the command; `build` gives the parser that is completed."""

    def complete(parsed: argparse.Namespace) -> int:
        print(shtab.complete(_told(build()), shell=parsed.shell))
        return Exit.SUCCEEDED

    parser = command("completion", complete, "Print what makes a shell complete this command: eval it, or save it.")
    parser.add_argument("shell", choices=_SHELLS, help="the shell")


def _told(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Say which arguments are files and directories."""
    for action in _actions(parser):
        if action.metavar in {"FILE", "ID|FILE"}:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # how shtab is told
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # the same
    return parser


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    found: list[argparse.Action] = []
    for action in parser._actions:  # noqa: SLF001 - argparse shows them in no other way
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            for inner in action.choices.values():
                found += _actions(inner)
    return found
