"""What the tests of the catalog share."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from app.archive.parts import Part, PartFault, PartKind, PartOutcome, PartResult
from app.catalog.base import Entry, Store

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FIRST = "backup-20261123-120000-00000a"
SECOND = "backup-20261123-130000-00000b"
CONTENT = b"the bytes of an archive"


def entry_of(backup_id: str = FIRST, *, hours: int = 0, encrypted: bool = False) -> Entry:
    """Make an entry that has something in every field."""
    part = Part(PartKind.VOLUME, "mailboxes", "mail", "cell-mail", "/var/mail", "mail:2", "sha256:0")
    fault = PartFault("tar_failed", "tar exited with 2.", "Look.")
    result = PartResult(part, PartOutcome.FAILED, 3, 700, 1.5, "exec", 2, ("odd",), ("a/b",), fault)
    return Entry(
        backup_id=backup_id,
        file_name="",
        encrypted=encrypted,
        size=0,
        created_at=NOON + timedelta(hours=hours),
        outcome="partial",
        label="before the move",
        cell_name="home",
        domain="cell.example",
        seconds=2.5,
        parts=(result,),
        warnings=("an odd name",),
        expires_at=NOON + timedelta(days=7),
    )


def put(store: Store, entry: Entry, content: bytes = CONTENT) -> Entry:
    """Publish an archive and check what the store says of it."""
    with store.create(entry.backup_id, encrypted=entry.encrypted) as archive:
        archive.write(content[:7])
        archive.write(memoryview(content)[7:])
        stored = archive.publish(entry)
    assert stored.described
    assert stored.size == len(content)
    assert stored.sha256 == sha256(content).hexdigest()
    return stored
