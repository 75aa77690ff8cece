"""One archive that lies anywhere, beside those of a store."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.catalog.base import Store, Verification
from app.catalog.local import LocalStore
from app.catalog.names import check_backup_id
from app.catalog.one_file import OneFileStore
from app.errors import Code, InputError, JobError
from tests.unit.catalog.support import CONTENT, FIRST, NOON, SECOND, entry_of, put

GOOD = Verification(NOON, ok=True)


@pytest.fixture
def inner(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "backups")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "stick").mkdir()
    path = tmp_path / "stick" / f"{FIRST}.tar.gz"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def store(file: Path, inner: LocalStore) -> Store:
    return OneFileStore(file, inner)


def test_the_file_is_listed_beside_the_archives_of_the_store(store: Store, file: Path) -> None:
    second = put(store, entry_of(SECOND, hours=1))
    own = store.get(FIRST)
    assert store.entries() == [second, own]
    assert (own.backup_id, own.file_name, own.size) == (FIRST, file.name, len(CONTENT))
    assert own.created_at == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert (own.encrypted, own.described) == (False, False)
    assert store.path(FIRST) == file
    with store.open(FIRST) as opened:
        assert opened.read() == CONTENT


def test_everything_else_is_done_by_the_store(store: Store, inner: LocalStore) -> None:
    stored = put(store, entry_of(SECOND))
    assert (store.get(SECOND), store.path(SECOND)) == (stored, inner.path(SECOND))
    with store.open(SECOND) as opened:
        assert opened.read() == CONTENT
    assert store.record_verification(SECOND, GOOD) == replace(stored, verified=GOOD) == inner.get(SECOND)
    put(store, entry_of("other"))
    store.remove("other")
    left = inner.path(SECOND).with_name(".x.tar.gz.partial")
    left.touch()
    assert store.sweep() == [left.name]
    assert inner.entries() == [inner.get(SECOND)]
    with pytest.raises(InputError) as caught:
        store.get("unknown")
    assert caught.value.code is Code.BACKUP_NOT_FOUND


def test_the_file_is_neither_changed_nor_removed_nor_given_a_sidecar(store: Store, file: Path) -> None:
    before = file.stat()
    with pytest.raises(InputError) as caught:
        store.remove(FIRST)
    assert caught.value.code is Code.BACKUP_IN_USE
    assert store.record_verification(FIRST, GOOD).verified == GOOD
    assert store.get(FIRST).verified == GOOD
    assert list(file.parent.iterdir()) == [file]
    assert file.stat() == before


def test_a_file_in_the_store_itself_is_seen_once_and_outlives_its_time(inner: LocalStore) -> None:
    for name in (FIRST, SECOND):
        put(inner, replace(entry_of(name), expires_at=NOON))
    store = OneFileStore(inner.path(FIRST), inner)
    assert [entry.backup_id for entry in store.entries()] == [SECOND, FIRST]
    assert store.remove_expired(NOON + timedelta(days=1)) == [SECOND]
    assert inner.path(FIRST).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "backup_id"),
    [
        ("cell-backup-20261120-020304.tar.gz", "cell-backup-20261120-020304"),
        ("x.tar.gz.age", "x"),
        ("x.v2.tgz", "x.v2"),
        ("x", "x"),
        ("-rf.tar.gz", None),
        (".tar.gz", None),
        ("my cell.tar.gz", None),
        ("Küche.tar.gz", None),
        (os.fsdecode(b"odd-\xff.tar.gz"), None),
        ("n" * 140 + ".tar.gz", None),
    ],
)
def test_the_id_is_the_name_or_made_from_it(file: Path, inner: LocalStore, name: str, backup_id: str | None) -> None:
    store = OneFileStore(file.rename(file.with_name(name)), inner)
    [entry] = store.entries()
    assert entry.backup_id == store.backup_id == check_backup_id(store.backup_id)
    assert re.fullmatch(backup_id or "archive-[0-9a-f]{8}", entry.backup_id)
    assert store.get(store.backup_id) == entry
    entry.file_name.encode()  # a name that is not text can still be shown


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.gz.age", "x"])
def test_what_is_encrypted_is_told_by_the_file_not_by_its_name(file: Path, inner: LocalStore, name: str) -> None:
    file = file.rename(file.with_name(name))
    assert not OneFileStore(file, inner).get("x").encrypted
    file.write_bytes(b'{"format":"cell-backup"}\n')
    assert OneFileStore(file, inner).get("x").encrypted


def test_a_file_that_is_none_is_not_found(file: Path, inner: LocalStore) -> None:
    os.mkfifo(file.with_name("fifo"))
    (file.with_name("dangling")).symlink_to("nowhere")
    for path in (
        file.with_name("missing"),
        file / "below",
        file.parent,
        file.with_name("fifo"),
        Path("/dev/zero"),
        file.with_name("dangling"),
    ):
        store = OneFileStore(path, inner)
        for call in (store.get, store.open, store.path):
            with pytest.raises(InputError) as caught:
                call(store.backup_id)
            assert caught.value.code is Code.BACKUP_NOT_FOUND
            assert str(path) in caught.value.message


def test_a_file_that_cannot_be_read_says_so(file: Path, inner: LocalStore) -> None:
    link = file.with_name("loop.tar.gz")
    link.symlink_to(link)  # nobody can follow this one, not even root
    with pytest.raises(JobError) as caught:
        OneFileStore(link, inner).get("loop")
    assert caught.value.code is Code.FILE_UNREADABLE
