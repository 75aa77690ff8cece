"""Takes in an archive that comes from elsewhere: under a hidden name, which no two of one id can have at once."""

import fcntl
import os
from pathlib import Path

from app.archive.storage import write_all, writing
from app.catalog.names import ENCRYPTED, PLAIN, SIDECAR, file_name
from app.errors import Code, InputError

_HIDDEN = ".upload.tar.gz.partial"


class IncomingFile:
    """Take the bytes of an archive in a hidden file, which is locked, so that a sweep knows that it is not left."""

    def __init__(self, directory: Path, backup_id: str) -> None:
        self._directory = directory
        self._backup_id = backup_id
        self._partial = directory / f".{backup_id}{_HIDDEN}"
        self._check_free()
        with writing():
            descriptor = _locked(self._partial)
            if descriptor is None:
                raise InputError(Code.BACKUP_EXISTS, f"'{backup_id}' is being uploaded already.")
            self._file = os.fdopen(descriptor, "wb", buffering=0)
            self._file.truncate(0)  # what somebody who died left there

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of the data; JobError DISK_FULL or WRITE_FAILED."""
        write_all(self._file, data)

    def take_in(self, *, encrypted: bool) -> None:
        """Make the archive durable and visible, with no word about it; InputError BACKUP_EXISTS, JobError."""
        with writing():
            os.fsync(self._file.fileno())
            self._check_free()
            # what is noted there is noted about an archive that is gone
            (self._directory / (self._backup_id + SIDECAR)).unlink(missing_ok=True)
            final = self._partial.rename(self._directory / file_name(self._backup_id, encrypted=encrypted))
            try:
                sync_directory(self._directory)
            except BaseException:
                final.unlink(missing_ok=True)
                raise

    def close(self) -> None:
        """Remove the hidden name, if it is still there, and let go of it."""
        self._partial.unlink(missing_ok=True)
        self._file.close()

    def _check_free(self) -> None:
        if any((self._directory / (self._backup_id + ending)).exists() for ending in (PLAIN, ENCRYPTED)):
            raise exists_already(self._backup_id)


def exists_already(backup_id: str) -> InputError:
    """Make the error for an archive that is not written over."""
    return InputError(Code.BACKUP_EXISTS, f"There is a backup '{backup_id}' already.")


def is_being_written(path: Path) -> bool:
    """Tell whether a hidden file belongs to somebody who is alive and takes an archive in."""
    if not path.name.endswith(_HIDDEN):
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable; raise OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """Open and lock the file of this name; None where somebody else has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever had it removed it between the two calls


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
