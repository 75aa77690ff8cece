"""How a store says that an archive is not there, or cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import Code, InputError, JobError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into JobError FILE_UNREADABLE."""
    try:
        yield
    except OSError as error:
        raise JobError(Code.FILE_UNREADABLE, f"{path} cannot be read: {error.strerror or error}.") from error


def missing(backup_id: str) -> InputError:
    """Make the error for an archive that does not exist."""
    return InputError(Code.BACKUP_NOT_FOUND, f"There is no backup '{backup_id}'.")
