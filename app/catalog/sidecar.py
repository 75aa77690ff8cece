"""The sidecar: `<backup_id>.json` beside each archive, what can be told of it without its passphrase."""

from pydantic import TypeAdapter, ValidationError

from app.catalog.base import Entry

_ENTRY = TypeAdapter(Entry)


def dump_sidecar(entry: Entry) -> bytes:
    """Write a sidecar."""
    return _ENTRY.dump_json(entry, indent=1) + b"\n"


def load_sidecar(raw: bytes) -> Entry | None:
    """Read a sidecar; None where it is not one, so that its archive is listed by its file alone."""
    try:
        entry = _ENTRY.validate_json(raw)
    except ValidationError:
        return None
    moments = (entry.created_at, entry.expires_at)
    return None if any(moment is not None and moment.tzinfo is None for moment in moments) else entry
