"""The directory this service keeps its own state in: nobody else looks inside."""

import stat
from pathlib import Path

from app.errors import Code, InputError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_directory(path: Path) -> None:
    """Make the directory with mode 0700 where it is missing; raise InputError(INVALID_SETTING)."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(path, error.strerror or "cannot be made") from error


def unusable(path: Path, reason: str, *, hint: str | None = None) -> InputError:
    """Say what is wrong with something in the state directory."""
    return InputError(
        Code.INVALID_SETTING,
        f"{path}: {reason}.",
        hint=hint or "Mend it, or let CELL_BACKUP_STATE_DIR name a directory that is this user's alone.",
    )
