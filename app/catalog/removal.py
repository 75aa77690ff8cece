"""What is removed by rule, and what may never be removed, whoever asks."""

from collections.abc import Collection, Sequence
from datetime import datetime

from app.catalog.base import Entry, Store
from app.errors import Code, InputError


def check_removable(backup_id: str, entries: Sequence[Entry]) -> None:
    """Raise InputError BACKUP_LAST_VERIFIED for the only archive whose last verification found it whole."""
    whole = {entry.backup_id for entry in entries if entry.verified is not None and entry.verified.ok}
    if whole == {backup_id}:
        raise InputError(Code.BACKUP_LAST_VERIFIED, f"'{backup_id}' is the only backup that has been proven whole.")


def remove_expired(store: Store, now: datetime, keep: Collection[str]) -> list[str]:
    """Do for any store what its method of this name says."""
    removed = []
    for entry in reversed(store.entries()):
        if entry.expires_at is None or entry.expires_at > now or entry.backup_id in keep:
            continue
        try:
            store.remove(entry.backup_id)
        except InputError:  # the last one that verified, or one that somebody removed meanwhile
            continue
        removed.append(entry.backup_id)
    return removed
