"""Archives in a local directory: 0600 files in a 0700 directory, visible only when they are whole and durable."""

import contextlib
import errno
import hashlib
import os
import re
import stat
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from app.archive.storage import write_all, writing
from app.catalog.base import Entry, Verification
from app.catalog.incoming import IncomingFile, is_being_written, sync_directory
from app.catalog.names import SIDECAR, check_backup_id, file_name, split_file_name, time_in_name
from app.catalog.reading import missing, reading
from app.catalog.removal import check_removable, remove_expired
from app.catalog.sidecar import dump_sidecar, load_sidecar
from app.errors import Code, JobError

_PARTIAL = ".partial"
_OWN_PARTIAL = re.compile(r"\..+(\.tar\.gz|\.tar\.gz\.age|\.json\.[^.]+)\.partial")


class LocalStore:
    """Hold archives in one directory, which is made when the first archive is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._removing = threading.Lock()

    @contextlib.contextmanager
    def create(self, backup_id: str, *, encrypted: bool) -> Iterator["PartialArchive"]:
        """Begin an archive; leaving the block without `publish` removes every trace of it."""
        check_backup_id(backup_id)
        with writing():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        archive = PartialArchive(self._directory, backup_id, encrypted=encrypted)
        try:
            yield archive
        finally:
            archive.close()

    @contextlib.contextmanager
    def receive(self, backup_id: str) -> Iterator[IncomingFile]:
        """Begin to take in an archive; leaving the block without `take_in` removes every trace of it."""
        check_backup_id(backup_id)
        with writing():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        archive = IncomingFile(self._directory, backup_id)
        try:
            yield archive
        finally:
            archive.close()

    def entries(self) -> list[Entry]:
        """List all archives, newest first."""
        with reading(self._directory):
            try:
                names = [path.name for path in self._directory.iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []
        found = [entry for name in names if (entry := self._entry(name)) is not None]
        return sorted(found, key=lambda entry: (entry.created_at, entry.backup_id), reverse=True)

    def get(self, backup_id: str) -> Entry:
        """Describe one archive; InputError INVALID_BACKUP_ID or BACKUP_NOT_FOUND."""
        check_backup_id(backup_id)
        for encrypted in (False, True):
            entry = self._entry(file_name(backup_id, encrypted=encrypted))
            if entry is not None:
                return entry
        raise missing(backup_id)

    def path(self, backup_id: str) -> Path:
        """Give the archive's file; raises as `get` does."""
        return self._directory / self.get(backup_id).file_name

    def open(self, backup_id: str) -> BinaryIO:
        """Open the archive's file for reading; raises as `get` does, and JobError FILE_UNREADABLE."""
        path = self.path(backup_id)
        with reading(path):
            try:
                return path.open("rb")
            except FileNotFoundError as error:
                raise missing(backup_id) from error

    def remove(self, backup_id: str) -> None:
        """Remove archive and sidecar; raises as `get` does, and InputError BACKUP_LAST_VERIFIED."""
        with self._removing:  # of two that go at once, the second must see that the first is gone
            path = self.path(backup_id)
            check_removable(backup_id, self.entries())
            with writing():
                path.unlink(missing_ok=True)
                self._sidecar(backup_id).unlink(missing_ok=True)
                sync_directory(self._directory)

    def remove_expired(self, now: datetime, *, keep: Collection[str] = ()) -> list[str]:
        """Remove every archive whose time has passed, but none of `keep`; give the ids removed."""
        return remove_expired(self, now, keep)

    def record_verification(self, backup_id: str, verification: Verification) -> Entry:
        """Note in the sidecar how a verification ended; an archive without a sidecar gets one."""
        entry = self.get(backup_id)
        with contextlib.suppress(OSError):
            written = load_sidecar(self._sidecar(backup_id).read_bytes())
            if written is not None and written.file_name == entry.file_name:
                entry = written  # with the size that was written, not the one that is found now
        write_sidecar(self._sidecar(backup_id), replace(entry, verified=verification))
        return self.get(backup_id)

    def sweep(self) -> list[str]:
        """Remove what unfinished writers left behind; give the names removed."""
        with reading(self._directory):
            if not self._directory.is_dir():
                return []
            left = [path for path in self._directory.iterdir() if _OWN_PARTIAL.fullmatch(path.name)]
            left = [path for path in left if not is_being_written(path)]
            # the sidecar of an archive that never came goes first: until then the partial file says whose it is
            left = [*(path for one in left if (path := self._early_sidecar(one.name)) is not None), *left]
            for path in left:
                path.unlink(missing_ok=True)
        return sorted(path.name for path in left)

    def _early_sidecar(self, partial: str) -> Path | None:
        """Give the sidecar that the writer of a partial archive left before the archive got its name, if it did."""
        told = split_file_name(partial.removeprefix(".").removesuffix(_PARTIAL))
        if told is None:
            return None
        sidecar = self._sidecar(told[0])
        seen = [self._directory / file_name(told[0], encrypted=encrypted) for encrypted in (False, True)]
        return sidecar if sidecar.exists() and not any(path.exists() for path in seen) else None

    def _sidecar(self, backup_id: str) -> Path:
        return self._directory / (backup_id + SIDECAR)

    def _entry(self, name: str) -> Entry | None:
        """Describe the archive in a file: by its sidecar, where that is there and speaks of this very file."""
        told = split_file_name(name)
        if told is None:
            return None
        backup_id, encrypted = told
        path = self._directory / name
        with reading(path):
            try:
                facts = path.stat()
            except OSError as error:
                # removed just now, or a link that leads nowhere or to itself
                if error.errno == errno.ENOENT or path.is_symlink():
                    return None
                raise
        if not stat.S_ISREG(facts.st_mode):
            return None
        with contextlib.suppress(OSError):
            entry = load_sidecar(self._sidecar(backup_id).read_bytes())
            if entry is not None and (entry.backup_id, entry.file_name) == (backup_id, name):
                return _as_found(entry, facts.st_size)
        created = time_in_name(backup_id) or datetime.fromtimestamp(facts.st_mtime, UTC)
        return Entry(backup_id, name, encrypted, facts.st_size, created)


class PartialArchive:
    """Take the bytes of an archive under a hidden name; `publish` gives it its own."""

    def __init__(self, directory: Path, backup_id: str, *, encrypted: bool) -> None:
        self._directory = directory
        self._final = directory / file_name(backup_id, encrypted=encrypted)
        self._partial = directory / f".{self._final.name}{_PARTIAL}"
        self._digest = hashlib.sha256()
        self._size = 0
        with writing():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._partial, flags, 0o600), "wb", buffering=0)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of the data; JobError DISK_FULL or WRITE_FAILED."""
        write_all(self._file, data)
        self._digest.update(data)
        self._size += len(data)

    def publish(self, entry: Entry, keep_going: Callable[[], None] = lambda: None) -> Entry:
        """Make the archive durable and visible under its final name; give the entry as stored.

        The sidecar comes first: an archive that is seen has one. `keep_going` is called before the archive becomes
        visible and may raise. Raises JobError, and what `keep_going` raises; then nothing is visible.
        """
        entry = replace(
            entry, file_name=self._final.name, size=self._size, sha256=self._digest.hexdigest(), described=True
        )
        sidecar = self._directory / (entry.backup_id + SIDECAR)
        with writing():
            os.fsync(self._file.fileno())
            for encrypted in (False, True):  # one id, one sidecar
                taken = self._directory / file_name(entry.backup_id, encrypted=encrypted)
                if taken.exists():
                    raise JobError(Code.WRITE_FAILED, f"An archive called {taken.name} exists already.")
        try:
            write_sidecar(sidecar, entry)
            keep_going()
            with writing():
                # nobody else can come between: the hidden name was made with O_EXCL and is held until now
                self._partial.rename(self._final)
                sync_directory(self._directory)
        except BaseException:
            self._final.unlink(missing_ok=True)
            sidecar.unlink(missing_ok=True)
            raise
        return entry

    def close(self) -> None:
        """Close the file and remove its hidden name; what was published stays."""
        self._partial.unlink(missing_ok=True)
        self._file.close()


def _as_found(entry: Entry, size: int) -> Entry:
    """Give the entry as its file is now; one that has another size than was written says so."""
    if size == entry.size:
        return entry
    words = f"The file has {size} bytes, but {entry.size} were written: it was cut or replaced."
    return replace(entry, size=size, warnings=(*entry.warnings, words))


def write_sidecar(path: Path, entry: Entry) -> None:
    """Write a sidecar in one step: whoever reads it meanwhile sees the old one or the new one."""
    with writing():
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                write_all(file, dump_sidecar(entry))
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
