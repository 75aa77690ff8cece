"""Translates what the operating system says of a write into this service's errors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from app.errors import Code, JobError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing() -> Iterator[None]:
    """Turn an OSError in the block into JobError DISK_FULL or WRITE_FAILED."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise JobError(Code.DISK_FULL, f"The backup directory takes no more data: {error.strerror}.") from error
        raise JobError(Code.WRITE_FAILED, f"The archive could not be written: {error.strerror or error}.") from error


class RawFile(Protocol):
    """Take bytes as the system call does: perhaps not all of them."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some of the data and say how much."""


def write_all(file: RawFile, data: bytes | bytearray | memoryview) -> None:
    """Write every byte to an unbuffered file; JobError where that fails. A short write comes before a full disk."""
    view = memoryview(data)
    with writing():
        while view:
            view = view[file.write(view) or 0 :]
