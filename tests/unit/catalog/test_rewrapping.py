"""A new passphrase for an encrypted archive: the same content, another first line."""

import hashlib
import os
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from app.archive.encryption import EncryptingSink, decrypt
from app.archive.envelope import Envelope, new_envelope, read_envelope
from app.catalog.base import Entry, Verification
from app.catalog.local import LocalStore
from app.catalog.rewrapping import rewrap
from app.errors import ArchiveError, Code, JobError

N = 2**10
ID = "backup-20261123-020000-00000f"
VERIFIED = Verification(datetime(2026, 11, 24, tzinfo=UTC), ok=True)
PLAIN = os.urandom(3_000_000)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Give a store with one encrypted archive that was verified."""
    made = LocalStore(tmp_path / "archives")
    with made.create(ID, encrypted=True) as archive:
        envelope, key = new_envelope("old", scrypt_n=N)
        sink = EncryptingSink(archive.write, envelope, key)
        sink.write(PLAIN)
        sink.finish()
        archive.publish(Entry(ID, "", encrypted=True, size=0, created_at=VERIFIED.at, label="mine"))
    made.record_verification(ID, VERIFIED)
    return made


def envelope_of(path: Path) -> Envelope:
    return read_envelope(BytesIO(path.read_bytes()))


def change(path: Path, old: str = "old", new: str = "new") -> None:
    rewrap(path, envelope_of(path).rewrapped(old, new, scrypt_n=N), new)


def opened_by(path: Path, passphrase: str) -> bytes:
    with path.open("rb") as file:
        envelope = read_envelope(file)
        return b"".join(decrypt(file, envelope, envelope.open(passphrase)))


def test_the_new_passphrase_opens_the_same_content_and_the_old_one_nothing(store: LocalStore) -> None:
    path = store.path(ID)
    id_before, rest_before = envelope_of(path).archive_id, path.read_bytes().split(b"\n", 1)[1]
    change(path)
    assert opened_by(path, "new") == PLAIN
    assert envelope_of(path).archive_id == id_before
    assert path.read_bytes().split(b"\n", 1)[1] == rest_before
    with pytest.raises(ArchiveError) as caught:
        opened_by(path, "old")
    assert caught.value.code is Code.PASSPHRASE_WRONG


def test_the_catalog_knows_the_new_file(store: LocalStore) -> None:
    path = store.path(ID)
    path.chmod(0o644)
    os.utime(path, ns=(1, 2_000_000_000))
    change(path)
    entry, content = store.get(ID), path.read_bytes()
    assert (entry.sha256, entry.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (entry.label, entry.verified, entry.warnings) == ("mine", VERIFIED, ())
    assert path.stat().st_mtime_ns == 2_000_000_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(path.parent.iterdir())) == 2


def test_other_slots_stay_as_they_are(store: LocalStore) -> None:
    path = store.path(ID)
    first = envelope_of(path)
    second = first.rewrapped("old", "another", scrypt_n=N)
    both = Envelope(first.archive_id, (*first.slots, *second.slots), first.chunk)
    rewrap(path, both, "old")
    change(path, "another", "third")
    assert envelope_of(path).slots[0] == first.slots[0]
    assert opened_by(path, "old") == opened_by(path, "third") == PLAIN


def test_a_link_is_followed(store: LocalStore, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(store.path(ID))
    change(link)
    assert link.is_symlink()
    assert opened_by(store.path(ID), "new") == PLAIN


def test_a_disk_that_fails_leaves_the_old_file(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.path(ID)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JobError) as caught:
        change(path)
    assert caught.value.code is Code.DISK_FULL
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2


def test_an_archive_that_is_replaced_meanwhile_is_left_alone(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.path(ID)

    def replaced(*_: object, **__: object) -> None:
        path.unlink()
        path.write_bytes(b"another one")

    monkeypatch.setattr(os, "utime", replaced)
    with pytest.raises(JobError) as caught:
        change(path)
    assert caught.value.code is Code.PLAN_CONFLICT
    assert path.read_bytes() == b"another one"
