"""Archives in memory, for tests of whoever uses the Protocol `Store`; Linux only."""

import hashlib
import os
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from app.archive.storage import writing
from app.catalog.base import Entry, Verification
from app.catalog.incoming import exists_already
from app.catalog.names import check_backup_id, file_name, time_in_name
from app.catalog.reading import missing
from app.catalog.removal import check_removable, remove_expired
from app.errors import Code, JobError


class MemoryArchive:
    """Take the bytes of an archive in a file that has no name on any disk."""

    def __init__(self, store: "MemoryStore", name: str) -> None:
        self._store = store
        self._name = name
        self._digest = hashlib.sha256()
        self._file = os.memfd_create(name, os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    @property
    def path(self) -> Path:
        """Give a path that lives as long as this object does."""
        return Path(f"/proc/self/fd/{self._file}")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of the data; JobError DISK_FULL where memory is short."""
        view = memoryview(data)
        self._digest.update(view)
        with writing():
            while view:
                view = view[os.write(self._file, view) :]

    def publish(self, entry: Entry, keep_going: Callable[[], None] = lambda: None) -> Entry:
        """Make the archive visible; JobError where one of its name exists."""
        size, sha256 = os.fstat(self._file).st_size, self._digest.hexdigest()
        stored = replace(entry, file_name=self._name, size=size, sha256=sha256, described=True)
        keep_going()
        self._store.add(stored, self)
        return stored


class MemoryIncoming:
    """Take the bytes of an archive that comes from elsewhere."""

    def __init__(self, store: "MemoryStore", backup_id: str) -> None:
        self._store = store
        self._backup_id = backup_id
        self._archive = MemoryArchive(store, backup_id)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of the data; JobError DISK_FULL where memory is short."""
        self._archive.write(data)

    def take_in(self, *, encrypted: bool) -> None:
        """Make the archive visible, not described; InputError BACKUP_EXISTS."""
        if self._backup_id in {entry.backup_id for entry in self._store.entries()}:
            raise exists_already(self._backup_id)
        created = time_in_name(self._backup_id) or datetime.now(UTC)
        size = self._archive.path.stat().st_size
        name = file_name(self._backup_id, encrypted=encrypted)
        self._store.add(Entry(self._backup_id, name, encrypted, size, created), self._archive)


class MemoryStore:
    """Hold archives as long as this object lives."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Entry, MemoryArchive]] = {}
        self._coming: set[str] = set()

    @contextmanager
    def create(self, backup_id: str, *, encrypted: bool) -> Iterator[MemoryArchive]:
        """Begin an archive; one that is not published is forgotten."""
        yield MemoryArchive(self, file_name(check_backup_id(backup_id), encrypted=encrypted))

    @contextmanager
    def receive(self, backup_id: str) -> Iterator["MemoryIncoming"]:
        """Begin to take in an archive; one that is not taken in is forgotten."""
        if check_backup_id(backup_id) in self._held or backup_id in self._coming:
            raise exists_already(backup_id)
        self._coming.add(backup_id)
        try:
            yield MemoryIncoming(self, backup_id)
        finally:
            self._coming.discard(backup_id)

    def add(self, entry: Entry, archive: MemoryArchive) -> None:
        """Take over a finished archive; JobError where one of its name exists."""
        if entry.backup_id in self._held:
            raise JobError(Code.WRITE_FAILED, f"An archive called {entry.file_name} exists already.")
        self._held[entry.backup_id] = (entry, archive)

    def entries(self) -> list[Entry]:
        """List all archives, newest first."""
        found = (entry for entry, _ in self._held.values())
        return sorted(found, key=lambda entry: (entry.created_at, entry.backup_id), reverse=True)

    def get(self, backup_id: str) -> Entry:
        """Describe one archive; InputError INVALID_BACKUP_ID or BACKUP_NOT_FOUND."""
        return self._find(backup_id)[0]

    def open(self, backup_id: str) -> BinaryIO:
        """Open the archive's file for reading; raises as `get` does."""
        return self.path(backup_id).open("rb")

    def path(self, backup_id: str) -> Path:
        """Give the archive's file; raises as `get` does."""
        return self._find(backup_id)[1].path

    def remove(self, backup_id: str) -> None:
        """Remove an archive; raises as `get` does, and InputError BACKUP_LAST_VERIFIED."""
        self._find(backup_id)
        check_removable(backup_id, self.entries())
        del self._held[backup_id]

    def remove_expired(self, now: datetime, *, keep: Collection[str] = ()) -> list[str]:
        """Remove every archive whose time has passed, but none of `keep`; give the ids removed."""
        return remove_expired(self, now, keep)

    def record_verification(self, backup_id: str, verification: Verification) -> Entry:
        """Note how a verification ended; raises as `get` does."""
        entry, archive = self._find(backup_id)
        entry = replace(entry, verified=verification)
        self._held[backup_id] = (entry, archive)
        return entry

    def sweep(self) -> list[str]:
        """Find nothing: what is unfinished has no name."""
        return []

    def _find(self, backup_id: str) -> tuple[Entry, MemoryArchive]:
        try:
            return self._held[check_backup_id(backup_id)]
        except KeyError as error:
            raise missing(backup_id) from error
