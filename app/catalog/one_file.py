"""One archive that lies anywhere, shown beside those of a store: for a restore without a service."""

import os
import stat
from collections.abc import Collection
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from app.archive.reader import is_encrypted
from app.catalog.base import Entry, Incoming, NewArchive, Store, Verification
from app.catalog.names import is_backup_id, split_file_name, time_in_name
from app.catalog.reading import reading
from app.errors import Code, InputError


class OneFileStore:
    """Show the archive in `file`, which is only read; everything else is done by `store`.

    Its id is its name without the extension, or made from its name where that cannot be an id; an archive of the same
    id in `store` is not seen.
    """

    def __init__(self, file: Path, store: Store) -> None:
        self._file = file
        self._store = store
        self._verified: Verification | None = None
        self.backup_id = _id_of(file.name)

    def create(self, backup_id: str, *, encrypted: bool) -> AbstractContextManager[NewArchive]:
        """Begin an archive in the store."""
        return self._store.create(backup_id, encrypted=encrypted)

    def receive(self, backup_id: str) -> AbstractContextManager[Incoming]:
        """Begin to take an archive into the store."""
        return self._store.receive(backup_id)

    def entries(self) -> list[Entry]:
        """List the file and all archives of the store, newest first; raises as `get` does."""
        others = [entry for entry in self._store.entries() if entry.backup_id != self.backup_id]
        found = [self.get(self.backup_id), *others]
        return sorted(found, key=lambda entry: (entry.created_at, entry.backup_id), reverse=True)

    def get(self, backup_id: str) -> Entry:
        """Describe one archive; whether the file is encrypted is told by its first byte, whatever its name says."""
        if backup_id != self.backup_id:
            return self._store.get(backup_id)
        with self._open() as file:
            facts = os.fstat(file.fileno())
            with reading(self._file):
                encrypted = is_encrypted(file)
        created = time_in_name(backup_id) or datetime.fromtimestamp(facts.st_mtime, UTC)
        name = os.fsencode(self._file.name).decode("utf-8", "backslashreplace")
        return Entry(backup_id, name, encrypted, facts.st_size, created, verified=self._verified)

    def open(self, backup_id: str) -> BinaryIO:
        """Open the archive's file for reading; InputError BACKUP_NOT_FOUND, JobError FILE_UNREADABLE."""
        return self._open() if backup_id == self.backup_id else self._store.open(backup_id)

    def path(self, backup_id: str) -> Path:
        """Give the archive's file; raises as `open` does."""
        if backup_id != self.backup_id:
            return self._store.path(backup_id)
        self._open().close()
        return self._file

    def remove(self, backup_id: str) -> None:
        """Remove an archive of the store; InputError BACKUP_IN_USE for the file."""
        if backup_id == self.backup_id:
            raise InputError(Code.BACKUP_IN_USE, f"{self._file} is only read here.")
        self._store.remove(backup_id)

    def remove_expired(self, now: datetime, *, keep: Collection[str] = ()) -> list[str]:
        """Remove what has expired from the store, never the file, which may lie in it."""
        return self._store.remove_expired(now, keep={*keep, self.backup_id})

    def record_verification(self, backup_id: str, verification: Verification) -> Entry:
        """Note how a verification ended; of the file as long as this object lives."""
        if backup_id != self.backup_id:
            return self._store.record_verification(backup_id, verification)
        self._verified = verification
        return self.get(backup_id)

    def sweep(self) -> list[str]:
        """Remove what unfinished writers left in the store."""
        return self._store.sweep()

    def _open(self) -> BinaryIO:
        with reading(self._file):
            try:
                # without O_NONBLOCK, a FIFO would keep this waiting for its writer
                descriptor = os.open(self._file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise self._no_file() from error
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise self._no_file()
            return os.fdopen(descriptor, "rb")

    def _no_file(self) -> InputError:
        return InputError(Code.BACKUP_NOT_FOUND, f"{self._file} is no file.", hint="Give the path of an archive.")


def _id_of(name: str) -> str:
    told = split_file_name(name)
    if told is not None:
        return told[0]
    stem = Path(name).stem
    return stem if is_backup_id(stem) else f"archive-{sha256(os.fsencode(name)).hexdigest()[:8]}"
