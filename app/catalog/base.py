"""What this service wants of the place that holds the archives."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from app.archive.parts import PartResult


@dataclass(frozen=True, slots=True)
class Verification:
    """Say when an archive was last read to its end, and what came of it."""

    at: datetime
    ok: bool
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """Describe one archive as far as that can be told without its passphrase.

    An archive without a sidecar (copied in by hand, or a cell's own `make backup`) has `described=False`: then only
    id, file name, size, time and encryption are known. One that has `expires_at` is removed by rule after that time.
    `choice` names what of the cell was chosen for it; empty where that was everything.
    """

    backup_id: str
    file_name: str
    encrypted: bool
    size: int
    created_at: datetime
    described: bool = False
    outcome: str | None = None
    label: str | None = None
    sha256: str | None = None
    cell_name: str | None = None
    domain: str | None = None
    seconds: float | None = None
    parts: tuple[PartResult, ...] = ()
    warnings: tuple[str, ...] = ()
    verified: Verification | None = None
    expires_at: datetime | None = None
    choice: tuple[str, ...] = ()


class NewArchive(Protocol):
    """Take the bytes of an archive that is being written; nothing is visible before `publish`."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of the data; raise JobError DISK_FULL or WRITE_FAILED."""

    def publish(self, entry: Entry, keep_going: Callable[[], None] = lambda: None) -> Entry:
        """Make the archive durable and visible under its final name, write its sidecar; give the entry as stored.

        Size and SHA-256 are filled in here. `keep_going` is called before the archive becomes visible and may raise.
        Raises JobError, and what `keep_going` raises; then nothing is visible.
        """


class Incoming(Protocol):
    """Take the bytes of an archive that comes from elsewhere; nothing is visible before `take_in`."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of the data; raise JobError DISK_FULL or WRITE_FAILED."""

    def take_in(self, *, encrypted: bool) -> None:
        """Make the archive durable and visible, not described; raise InputError BACKUP_EXISTS, or JobError."""


class Store(Protocol):
    """Hold archives; every method blocks, so call it in a thread."""

    def create(self, backup_id: str, *, encrypted: bool) -> AbstractContextManager[NewArchive]:
        """Begin an archive; leaving the block without `publish` removes every trace of it."""

    def receive(self, backup_id: str) -> AbstractContextManager[Incoming]:
        """Begin to take in an archive; leaving the block without `take_in` removes every trace of it.

        Raises InputError INVALID_BACKUP_ID, or BACKUP_EXISTS for one that is there or just being taken in.
        """

    def entries(self) -> list[Entry]:
        """List all archives, newest first."""

    def get(self, backup_id: str) -> Entry:
        """Describe one archive; raise InputError INVALID_BACKUP_ID or BACKUP_NOT_FOUND."""

    def open(self, backup_id: str) -> BinaryIO:
        """Open the archive's file for reading; raises as `get` does."""

    def path(self, backup_id: str) -> Path:
        """Give the archive's file; raises as `get` does."""

    def remove(self, backup_id: str) -> None:
        """Remove archive and sidecar; raises as `get` does, and InputError BACKUP_LAST_VERIFIED."""

    def remove_expired(self, now: datetime, *, keep: Collection[str] = ()) -> list[str]:
        """Remove every archive whose `expires_at` has passed; give the ids removed, oldest first.

        Those in `keep` stay (for archives that a job works on), and so does the last archive that verified. Raises
        JobError where the directory cannot be read or written.
        """

    def record_verification(self, backup_id: str, verification: Verification) -> Entry:
        """Note in the sidecar how a verification ended; an archive without a sidecar gets one."""

    def sweep(self) -> list[str]:
        """Remove what unfinished writers left behind; give the names removed."""
