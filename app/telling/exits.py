"""How a command ends: the exit codes, for cron and for scripts."""

from enum import IntEnum

from app.errors import BackupError, RefusedError, UnavailableError


class Exit(IntEnum):
    """Name every exit code; a code never changes its meaning. A signal ends a command with 128 and its number."""

    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    UNREACHABLE = 4
    REFUSED = 5
    INTERRUPTED = 130


MEANINGS = """\
exit codes:
  0    succeeded
  1    failed, or cancelled
  2    wrong usage
  3    partial: something is missing, and is named
  4    the service, or what it needs, cannot be reached
  5    the service refused; nothing was begun
  130  interrupted by Ctrl-C; a job of the service goes on
"""
_OF_STATES = {"succeeded": Exit.SUCCEEDED, "partial": Exit.PARTIAL}


def exit_of(state: str) -> Exit:
    """Give the exit code for the state in which a job ended."""
    return _OF_STATES.get(state, Exit.FAILED)


def exit_of_error(error: BackupError) -> Exit:
    """Give the exit code for an error that ended a command."""
    match error:
        case RefusedError():
            return Exit.REFUSED
        case UnavailableError():
            return Exit.UNREACHABLE
        case _:
            return Exit.FAILED
