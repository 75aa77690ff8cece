"""Asks whether a restore of a cell runs, or was cut off; looks only, and changes nothing."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from app.cell.restoring.journal import Journal
from app.cell.restoring.locking import LOCK, failing
from app.cell.restoring.places import HERE
from app.cell.restoring.workspace import JOURNAL
from app.errors import Code, JobError

_RUNS_HINT = "Wait until it has ended, then run it again."
_CUT_OFF_HINT = "Run 'cell-backup restore' again, or start the service: it is put back first, or finished."


def check_not_restored(root: Path) -> None:
    """Raise JobError CELL_BUSY where a restore runs, or where one that was cut off is still to be put back.

    One that was cut off after all its work counts for nothing. Raises ROLLBACK_FAILED where its journal cannot be read,
    SWAP_FAILED where nobody may look.
    """
    with failing(root), suppress(FileNotFoundError, NotADirectoryError):
        descriptor = os.open(root / HERE / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError(Code.CELL_BUSY, f"A restore of {root} runs.", hint=_RUNS_HINT) from error
        finally:
            os.close(descriptor)
    with failing(root):
        is_there = (root / HERE).is_dir()
    if is_there and Journal(root / HERE / JOURNAL).owed:
        message = f"A restore of {root} was cut off: some of its files are the archive's, and some are not."
        raise JobError(Code.CELL_BUSY, message, hint=_CUT_OFF_HINT)
