"""What may never be removed, whoever asks."""

from collections.abc import Sequence

from app.catalog.base import Entry
from app.errors import Code, InputError


def check_removable(backup_id: str, entries: Sequence[Entry]) -> None:
    """Raise InputError BACKUP_LAST_VERIFIED for the only archive whose last verification found it whole."""
    whole = {entry.backup_id for entry in entries if entry.verified is not None and entry.verified.ok}
    if whole == {backup_id}:
        raise InputError(Code.BACKUP_LAST_VERIFIED, f"'{backup_id}' is the only backup that has been proven whole.")
