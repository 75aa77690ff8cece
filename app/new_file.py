"""A file that appears only when it is whole, and never takes another one's place."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.archive.storage import writing
from app.errors import Code, JobError


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give an unbuffered file, 0600, under a hidden name; it gets its own once the block ends well.

    Raises JobError DISK_FULL or WRITE_FAILED.
    """
    if os.path.lexists(path):  # the link below says so too, but after all the work
        raise JobError(Code.WRITE_FAILED, f"{path} exists already.", hint="Move it away, or write to another name.")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with writing():
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            yield file
            with writing():
                os.fsync(file.fileno())
        with writing():
            path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)
