"""The command line: `cell-backup`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from app import __version__
from app.commands import (
    archives,
    backup,
    completion,
    doctor,
    files,
    jobs,
    passphrases,
    restore,
    retention,
    schedules,
    services,
    tokens,
)
from app.commands.parsing import adder
from app.errors import BackupError
from app.telling.exits import MEANINGS, Exit, exit_of_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; app/telling/exits.py says what each means."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = build_parser().parse_args(words, argparse.Namespace(words=words))
    signal.signal(signal.SIGTERM, _stop)
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except BackupError as error:
        print(f"cell-backup: {error.message} [{error.code}]", file=sys.stderr)
        print(f"  {error.hint}", file=sys.stderr)
        return exit_of_error(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # whoever read this has seen enough; Python would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status


def build_parser() -> argparse.ArgumentParser:
    """Give the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="cell-backup",
        description="Back up a Personal Internet Cell, and bring it back.",
        epilog=MEANINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cell-backup {__version__}")
    command = adder(parser)
    for noun in (services, backup, restore, archives, files, passphrases, jobs, schedules, retention, tokens, doctor):
        noun.add(command)
    completion.add(command, build_parser)
    return parser


def _stop(number: int, _: object) -> NoReturn:
    # as an exception, so that what was begun is undone
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
