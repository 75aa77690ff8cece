"""Names of archives and what follows from them; checked before they touch a path."""

import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from app.errors import Code, InputError

PLAIN = ".tar.gz"
ENCRYPTED = ".tar.gz.age"
SIDECAR = ".json"
_BACKUP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_STAMP = re.compile(r"(\d{8}-\d{6})")


def check_backup_id(backup_id: str) -> str:
    """Give the id back; InputError INVALID_BACKUP_ID where it could be anything but the name of an archive."""
    if not is_backup_id(backup_id):
        shown = backup_id[:40].encode("unicode_escape").decode()
        raise InputError(Code.INVALID_BACKUP_ID, f"'{shown}' cannot be the id of a backup.")
    return backup_id


def is_backup_id(name: str) -> bool:
    """Tell whether a name can be the id of an archive."""
    return _BACKUP_ID.fullmatch(name) is not None


def new_backup_id(now: datetime) -> str:
    """Make an id: `backup-<YYYYMMDD>-<HHMMSS>-<6 hex>`, UTC."""
    return f"backup-{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def file_name(backup_id: str, *, encrypted: bool) -> str:
    """Give the name of an archive's file."""
    return backup_id + (ENCRYPTED if encrypted else PLAIN)


def split_file_name(name: str) -> tuple[str, bool] | None:
    """Give id and encryption out of a file's name; None where it is no archive."""
    for ending, encrypted in ((ENCRYPTED, True), (PLAIN, False)):
        backup_id = name.removesuffix(ending)
        if backup_id != name and is_backup_id(backup_id):
            return backup_id, encrypted
    return None


def time_in_name(backup_id: str) -> datetime | None:
    """Read the time that stands in an id, taken as UTC; None where there is none."""
    if match := _STAMP.search(backup_id):
        try:
            return datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
    return None


def choice_of(components: Iterable[str] | None, services: Iterable[str] | None) -> tuple[str, ...]:
    """Name what was chosen of a cell, the same for the same choice; empty where it was everything."""
    if components is None and services is None:
        return ()
    sorts = (("component", components), ("service", services))
    return tuple(f"{sort}:{name}" for sort, names in sorts for name in sorted(set(["*"] if names is None else names)))
