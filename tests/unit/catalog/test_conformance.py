"""What every store does, the one on disk and the one in memory."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.catalog.base import Entry, Store, Verification
from app.catalog.local import LocalStore
from app.catalog.memory import MemoryStore
from app.errors import Code, InputError, JobError
from tests.unit.catalog.support import CONTENT, FIRST, NOON, SECOND, entry_of, put

BAD_IDS = [
    "",
    ".",
    "..",
    "../up",
    "a/b",
    "/etc/passwd",
    "a\0b",
    "-dash",
    ".hidden",
    "a b",
    "é",
    "x" * 200,
    "a\n",
    "a\\b",
]


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "backups") if request.param == "local" else MemoryStore()


def code_of(caught: pytest.ExceptionInfo[InputError]) -> Code:
    return caught.value.code


def test_empty_at_first(store: Store) -> None:
    assert store.entries() == []
    assert store.sweep() == []


@pytest.mark.parametrize("encrypted", [False, True])
def test_published_archive_is_found_with_everything_that_was_said_of_it(store: Store, *, encrypted: bool) -> None:
    entry = entry_of(encrypted=encrypted)
    stored = put(store, entry)
    name = FIRST + (".tar.gz.age" if encrypted else ".tar.gz")
    assert stored == replace(entry, file_name=name, size=stored.size, sha256=stored.sha256, described=True)
    assert store.entries() == [stored]
    assert store.get(FIRST) == stored
    assert store.path(FIRST).read_bytes() == CONTENT
    with store.open(FIRST) as one, store.open(FIRST) as other:
        assert one.read(4) == CONTENT[:4]
        assert other.read() == CONTENT
        assert one.read() == CONTENT[4:]


def test_newest_come_first(store: Store) -> None:
    put(store, entry_of(SECOND, hours=1))
    put(store, entry_of(FIRST))
    put(store, entry_of("zz", hours=1))
    assert [entry.backup_id for entry in store.entries()] == ["zz", SECOND, FIRST]


def test_nothing_is_seen_before_it_is_published(store: Store) -> None:
    with store.create(FIRST, encrypted=False) as archive:
        archive.write(CONTENT)
        assert store.entries() == []
        with pytest.raises(InputError) as caught:
            store.get(FIRST)
        assert code_of(caught) is Code.BACKUP_NOT_FOUND
        archive.publish(entry_of())
        assert store.get(FIRST).size == len(CONTENT)
    assert store.get(FIRST).size == len(CONTENT)


def test_what_is_not_published_is_gone(store: Store) -> None:
    with store.create(FIRST, encrypted=False) as archive:
        archive.write(CONTENT)
    assert store.entries() == []
    put(store, entry_of())


def test_an_error_while_writing_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.create(FIRST, encrypted=False) as archive:
            archive.write(CONTENT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.entries() == []
    put(store, entry_of())


def test_keep_going_stops_an_archive_that_is_about_to_be_seen(store: Store) -> None:
    def stop() -> None:
        assert store.entries() == []
        raise JobError(Code.CANCELLED, "Told to end.")

    with store.create(FIRST, encrypted=False) as archive:
        archive.write(CONTENT)
        with pytest.raises(JobError) as caught:
            archive.publish(entry_of(), stop)
    assert caught.value.code is Code.CANCELLED
    assert store.entries() == []
    put(store, entry_of())


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_id_that_exists_is_refused_and_what_exists_stays(store: Store, *, encrypted: bool) -> None:
    stored = put(store, entry_of())
    with store.create(FIRST, encrypted=encrypted) as archive:
        archive.write(b"something else")
        with pytest.raises(JobError) as caught:
            archive.publish(replace(entry_of(encrypted=encrypted), label="other"))
    assert caught.value.code is Code.WRITE_FAILED
    assert store.entries() == [stored]
    assert store.path(FIRST).read_bytes() == CONTENT


def test_remove(store: Store) -> None:
    put(store, entry_of(FIRST))
    second = put(store, entry_of(SECOND, hours=1))
    store.remove(FIRST)
    assert store.entries() == [second]
    with pytest.raises(InputError) as caught:
        store.remove(FIRST)
    assert code_of(caught) is Code.BACKUP_NOT_FOUND


def test_verification_is_recorded_and_recorded_anew(store: Store) -> None:
    stored = put(store, entry_of())
    bad = Verification(NOON, ok=False, code="archive_damaged", message="Chunk 3 is damaged.")
    assert store.record_verification(FIRST, bad) == replace(stored, verified=bad)
    assert store.get(FIRST).verified == bad
    good = Verification(NOON, ok=True)
    store.record_verification(FIRST, good)
    assert store.entries() == [replace(stored, verified=good)]


def test_the_last_archive_that_verified_is_never_removed(store: Store) -> None:
    put(store, entry_of(FIRST))
    put(store, entry_of(SECOND, hours=1))
    store.record_verification(FIRST, Verification(NOON, ok=True))
    with pytest.raises(InputError) as caught:
        store.remove(FIRST)
    assert code_of(caught) is Code.BACKUP_LAST_VERIFIED
    store.record_verification(SECOND, Verification(NOON, ok=True))
    store.remove(FIRST)
    assert [entry.backup_id for entry in store.entries()] == [SECOND]


def expiring(backup_id: str, *, hours: int | None) -> Entry:
    expires_at = None if hours is None else NOON + timedelta(hours=hours)
    return replace(entry_of(backup_id), expires_at=expires_at)


def test_what_has_expired_is_removed_oldest_first_and_nothing_else(store: Store) -> None:
    for name, hours in (("later", 2), ("never", None), ("b-now", 1), ("a-past", 0)):
        put(store, expiring(name, hours=hours))
    assert store.remove_expired(NOON + timedelta(hours=1)) == ["a-past", "b-now"]
    assert {entry.backup_id for entry in store.entries()} == {"later", "never"}
    assert store.remove_expired(NOON + timedelta(hours=1)) == []


def test_what_is_to_be_kept_outlives_its_time(store: Store) -> None:
    for name in (FIRST, SECOND):
        put(store, expiring(name, hours=0))
    assert store.remove_expired(NOON, keep=[FIRST, "another"]) == [SECOND]
    assert [entry.backup_id for entry in store.entries()] == [FIRST]


def test_the_last_archive_that_verified_outlives_its_time(store: Store) -> None:
    for name in (FIRST, SECOND):
        put(store, expiring(name, hours=0))
    store.record_verification(FIRST, Verification(NOON, ok=True))
    assert store.remove_expired(NOON) == [SECOND]
    put(store, expiring("another", hours=None))
    store.record_verification("another", Verification(NOON, ok=True))
    assert store.remove_expired(NOON) == [FIRST]


def test_an_archive_that_has_expired_is_there_until_it_is_removed(store: Store) -> None:
    put(store, expiring(FIRST, hours=-1))
    assert store.get(FIRST).expires_at == NOON - timedelta(hours=1)
    assert store.record_verification(FIRST, Verification(NOON, ok=True)).expires_at == NOON - timedelta(hours=1)
    assert store.path(FIRST).read_bytes() == CONTENT


@pytest.mark.parametrize("backup_id", BAD_IDS)
def test_what_cannot_be_an_id_touches_no_path(store: Store, backup_id: str) -> None:
    def create() -> None:
        with store.create(backup_id, encrypted=False):
            pass

    verification = Verification(NOON, ok=True)
    for call in (
        create,
        lambda: store.get(backup_id),
        lambda: store.path(backup_id),
        lambda: store.open(backup_id),
        lambda: store.remove(backup_id),
        lambda: store.record_verification(backup_id, verification),
        lambda: store.receive(backup_id).__enter__(),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert code_of(caught) is Code.INVALID_BACKUP_ID


def test_unknown_id(store: Store) -> None:
    for call in (store.get, store.path, store.open, store.remove):
        with pytest.raises(InputError) as caught:
            call(FIRST)
        assert code_of(caught) is Code.BACKUP_NOT_FOUND


@pytest.mark.parametrize("encrypted", [False, True])
def test_what_is_taken_in_is_seen_when_it_is_whole_and_is_not_described(store: Store, *, encrypted: bool) -> None:
    with store.receive(FIRST) as incoming:
        incoming.write(CONTENT[:7])
        incoming.write(memoryview(CONTENT)[7:])
        assert store.entries() == []
        incoming.take_in(encrypted=encrypted)
    (entry,) = store.entries()
    assert entry == store.get(FIRST)
    assert entry.file_name == FIRST + (".tar.gz.age" if encrypted else ".tar.gz")
    assert (entry.encrypted, entry.size, entry.created_at) == (encrypted, len(CONTENT), NOON)
    assert (entry.described, entry.verified, entry.outcome, entry.expires_at) == (False, None, None, None)
    assert store.path(FIRST).read_bytes() == CONTENT


def test_what_is_not_taken_in_is_gone(store: Store) -> None:
    with store.receive(FIRST) as incoming:
        incoming.write(CONTENT)
    assert store.entries() == []
    put(store, entry_of())


def test_nothing_is_taken_in_in_the_place_of_what_exists(store: Store) -> None:
    stored = put(store, entry_of())
    with pytest.raises(InputError) as caught, store.receive(FIRST):
        pass
    assert code_of(caught) is Code.BACKUP_EXISTS
    assert store.entries() == [stored]


def test_what_comes_into_being_meanwhile_stays(store: Store) -> None:
    with store.receive(FIRST) as incoming:
        incoming.write(b"something else")
        stored = put(store, entry_of(encrypted=True))
        with pytest.raises(InputError) as caught:
            incoming.take_in(encrypted=False)
    assert code_of(caught) is Code.BACKUP_EXISTS
    assert store.entries() == [stored]


def test_two_cannot_take_in_the_same(store: Store) -> None:
    with store.receive(FIRST) as incoming:
        incoming.write(CONTENT)
        with pytest.raises(InputError) as caught, store.receive(FIRST):
            pass
        assert code_of(caught) is Code.BACKUP_EXISTS
        assert store.sweep() == []  # somebody is at it
        incoming.take_in(encrypted=False)
    assert store.path(FIRST).read_bytes() == CONTENT
