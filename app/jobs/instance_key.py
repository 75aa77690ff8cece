"""The instance key: a file in the state directory that API and worker share and nobody else reads."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from cryptography.fernet import Fernet

from app.jobs.state_dir import OTHERS, private_directory, unusable

NAME = "instance.key"


def load_instance_key(state_dir: Path) -> Fernet:
    """Read the key, made at first use; raise InputError(INVALID_SETTING) for a file that is not ours alone."""
    path = state_dir / NAME
    private_directory(state_dir)
    try:
        if not os.path.lexists(path):
            _create(path)
        return Fernet(_read(path))
    except OSError as error:
        raise unusable(path, error.strerror or "cannot be used") from error
    except ValueError as error:
        hint = "Remove the file; jobs that wait with a passphrase then fail."
        raise unusable(path, "holds no key", hint=hint) from error


def _create(path: Path) -> None:
    """Write the key beside its place and link it there, so that whoever comes second finds a whole file."""
    draft = path.with_name(f".{NAME}.{uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise unusable(path, "is no regular file")
        if status.st_uid != os.geteuid():
            raise unusable(path, f"belongs to user {status.st_uid}, not to {os.geteuid()}")
        if status.st_mode & OTHERS:
            raise unusable(path, f"has mode {status.st_mode & 0o777:04o}, wider than 0600", hint=f"chmod 600 {path}")
        return file.read(1024)
