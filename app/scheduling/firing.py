"""What the job of a schedule is made of, at the moment it is made."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.archive.envelope import new_envelope, read_envelope
from app.catalog.base import Store
from app.catalog.names import new_backup_id
from app.errors import Code, InputError
from app.jobs.records import JobKind
from app.jobs.state_dir import read_private
from app.scheduling.schedules import Schedule, ScheduleKind
from app.settings import Settings

_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold what a job is made of; `secret` is sealed and never in the request."""

    kind: JobKind
    backup_id: str
    request: dict[str, Any]
    secret: bytes | None


async def prepare(schedule: Schedule, settings: Settings, store: Store, now: datetime) -> Prepared:
    """Make everything ready; the passphrase is read, used and forgotten.

    Raises InputError PASSPHRASE_REQUIRED where its file cannot be used, BACKUP_NOT_FOUND where there is nothing to
    verify, and what the store and the archive raise.
    """
    work = _verify if schedule.kind is ScheduleKind.VERIFY else _backup
    return await asyncio.to_thread(work, schedule, settings, store, now)


def _backup(schedule: Schedule, settings: Settings, _: Store, now: datetime) -> Prepared:
    request: dict[str, Any] = {
        "schedule": schedule.name,
        "components": None if schedule.components is None else list(schedule.components),
        "services": None if schedule.services is None else list(schedule.services),
        "label": schedule.label,
    }
    data_key = None
    if schedule.passphrase_file is not None:
        envelope, data_key = new_envelope(read_passphrase(schedule.passphrase_file), scrypt_n=settings.scrypt_n)
        request["envelope"] = envelope.to_line()
    return Prepared(JobKind.BACKUP, new_backup_id(now), request, data_key)


def _verify(schedule: Schedule, _: Settings, store: Store, __: datetime) -> Prepared:
    newest = next((entry for entry in store.entries() if entry.expires_at is None), None)
    if newest is None:
        raise InputError(Code.BACKUP_NOT_FOUND, "There is no backup to verify.")
    data_key = None
    if newest.encrypted:
        if schedule.passphrase_file is None:
            raise InputError(
                Code.PASSPHRASE_REQUIRED, f"'{newest.backup_id}' is encrypted, and no file names a passphrase."
            )
        passphrase = read_passphrase(schedule.passphrase_file)
        with store.open(newest.backup_id) as file:
            data_key = read_envelope(file).open(passphrase)
    return Prepared(JobKind.VERIFY, newest.backup_id, {"schedule": schedule.name}, data_key)


def refused(schedule: Schedule, now: datetime) -> Prepared:
    """Make what a job is made of that says why there is no other; were it ever run, it would fail."""
    kind = JobKind(schedule.kind)
    backup_id = new_backup_id(now) if kind is JobKind.BACKUP else ""
    return Prepared(kind, backup_id, {"schedule": schedule.name, "envelope": ""}, None)


def read_passphrase(path: Path) -> str:
    """Take the passphrase from the first line of a file of this user alone; InputError PASSPHRASE_REQUIRED."""
    hint = f"Let the file belong to the user of the service, with mode 0600, and hold 1 to {_LONGEST} characters."
    try:
        line = read_private(path).partition(b"\n")[0]
        passphrase = line.removesuffix(b"\r").decode()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise InputError(Code.PASSPHRASE_REQUIRED, message, hint=hint) from error
    except InputError as error:
        raise InputError(Code.PASSPHRASE_REQUIRED, error.message, hint=hint) from error
    except UnicodeDecodeError as error:
        raise InputError(Code.PASSPHRASE_REQUIRED, f"{path} is not UTF-8.", hint=hint) from error
    if not 1 <= len(passphrase) <= _LONGEST:
        raise InputError(Code.PASSPHRASE_REQUIRED, f"The first line of {path} is no passphrase.", hint=hint)
    return passphrase
