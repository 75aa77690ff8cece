"""What only a store on disk does: modes, hidden names, sidecars, and files that others put beside its own."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.catalog.base import Verification
from app.catalog.local import LocalStore
from app.errors import Code, JobError
from tests.unit.catalog.support import CONTENT, FIRST, NOON, SECOND, entry_of, put

LISTING = """
import sys
from pathlib import Path
from app.catalog.local import LocalStore
print([entry.backup_id for entry in LocalStore(Path(sys.argv[1])).entries()])
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cell/backups"


@pytest.fixture
def store(directory: Path) -> LocalStore:
    return LocalStore(directory)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def copy_in(directory: Path, name: str, content: bytes = CONTENT) -> Path:
    """Put a file there by hand."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content)
    return directory / name


class TestModes:
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    def test_files_are_for_the_owner_only(self, store: LocalStore, directory: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            with store.create(FIRST, encrypted=False) as archive:
                (partial,) = directory.iterdir()
                assert mode_of(partial) == 0o600
                archive.write(CONTENT)
                archive.publish(entry_of())
        finally:
            os.umask(before)
        assert mode_of(directory) == 0o700
        assert {mode_of(path) for path in directory.iterdir()} == {0o600}

    def test_a_recorded_verification_keeps_the_mode(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        store.record_verification(FIRST, Verification(NOON, ok=True))
        assert mode_of(directory / f"{FIRST}.json") == 0o600


class TestPublishing:
    def test_another_process_sees_nothing_before(self, store: LocalStore, directory: Path) -> None:
        def seen() -> str:
            command = [sys.executable, "-c", LISTING, str(directory)]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

        with store.create(FIRST, encrypted=False) as archive:
            archive.write(CONTENT)
            assert seen() == "[]"
            archive.publish(entry_of())
            assert seen() == f"['{FIRST}']"

    def test_the_sidecar_is_there_before_the_archive(self, store: LocalStore, directory: Path) -> None:
        """Whoever sees an archive can be told what is in it."""
        seen: list[list[str]] = []
        with store.create(FIRST, encrypted=False) as archive:
            archive.write(CONTENT)
            archive.publish(entry_of(), lambda: seen.append(names(directory)))
        assert seen == [[f".{FIRST}.tar.gz.partial", f"{FIRST}.json"]]
        assert names(directory) == [f"{FIRST}.json", f"{FIRST}.tar.gz"]

    def test_stopping_before_it_is_seen_takes_the_sidecar_back(self, store: LocalStore, directory: Path) -> None:
        def stop() -> None:
            raise JobError(Code.CANCELLED, "Told to end.")

        with pytest.raises(JobError), store.create(FIRST, encrypted=False) as archive:
            archive.publish(entry_of(), stop)
        assert names(directory) == []

    def test_two_writers_of_one_archive(self, store: LocalStore, directory: Path) -> None:
        with store.create(FIRST, encrypted=False) as archive:
            archive.write(CONTENT)
            with pytest.raises(JobError) as caught, store.create(FIRST, encrypted=False):
                pass
            assert caught.value.code is Code.WRITE_FAILED
            archive.publish(entry_of())
        assert (directory / f"{FIRST}.tar.gz").read_bytes() == CONTENT

    def test_the_sidecar_is_json_that_people_can_read(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        sidecar = json.loads((directory / f"{FIRST}.json").read_bytes())
        assert sidecar["label"] == "before the move"
        assert sidecar["parts"][0]["error"]["code"] == "tar_failed"


class TestArchivesOfOthers:
    def test_quick_archive_of_the_cell(self, store: LocalStore, directory: Path) -> None:
        copy_in(directory, "cell-backup-20261120-020304.tar.gz")
        (entry,) = store.entries()
        assert entry.backup_id == "cell-backup-20261120-020304"
        assert not entry.described
        assert not entry.encrypted
        assert entry.size == len(CONTENT)
        assert entry.created_at == datetime(2026, 11, 20, 2, 3, 4, tzinfo=UTC)
        assert entry.outcome is None
        assert store.path(entry.backup_id).read_bytes() == CONTENT

    def test_encrypted_archive_that_was_copied_in(self, store: LocalStore, directory: Path) -> None:
        path = copy_in(directory, "from-my-old-host.tar.gz.age")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        entry = store.get("from-my-old-host")
        assert entry.encrypted
        assert entry.created_at == datetime.fromtimestamp(1_700_000_000, UTC)

    def test_verification_gives_it_a_sidecar(self, store: LocalStore, directory: Path) -> None:
        copy_in(directory, "copied.tar.gz")
        good = Verification(NOON, ok=True)
        store.record_verification("copied", good)
        assert store.get("copied").verified == good
        assert not store.get("copied").described
        assert names(directory) == ["copied.json", "copied.tar.gz"]

    def test_it_is_removed_with_its_sidecar(self, store: LocalStore, directory: Path) -> None:
        copy_in(directory, "copied.tar.gz")
        store.record_verification("copied", Verification(NOON, ok=False, code="archive_damaged"))
        store.remove("copied")
        assert names(directory) == []

    @pytest.mark.parametrize(
        "name", ["notes.txt", ".hidden.tar.gz", "-dash.tar.gz", ".tar.gz", "a b.tar.gz", "x.tar", "y.age", "z.json"]
    )
    def test_other_files_are_no_archives(self, store: LocalStore, directory: Path, name: str) -> None:
        copy_in(directory, name)
        assert store.entries() == []
        assert store.sweep() == []
        assert names(directory) == [name]

    def test_a_name_that_is_not_utf_8_is_no_archive(self, store: LocalStore, directory: Path) -> None:
        copy_in(directory, os.fsdecode(b"odd-\xff.tar.gz"))
        copy_in(directory, "n" * 200 + ".tar.gz")
        assert store.entries() == []

    def test_what_is_no_regular_file_is_no_archive(self, store: LocalStore, directory: Path) -> None:
        (directory / "folder.tar.gz").mkdir(parents=True)
        os.mkfifo(directory / "fifo.tar.gz")
        (directory / "nowhere.tar.gz").symlink_to(directory / "missing")
        assert store.entries() == []

    def test_link_to_an_archive_elsewhere_is_one(self, store: LocalStore, directory: Path, tmp_path: Path) -> None:
        directory.mkdir(parents=True)
        (tmp_path / "disk").write_bytes(CONTENT)
        (directory / "linked.tar.gz").symlink_to(tmp_path / "disk")
        assert store.get("linked").size == len(CONTENT)
        store.remove("linked")
        assert (tmp_path / "disk").read_bytes() == CONTENT


class TestSidecarsThatDontFit:
    def bare(self, store: LocalStore, backup_id: str = FIRST) -> None:
        """Check that an archive is listed by its file alone."""
        (entry,) = store.entries()
        assert entry.backup_id == backup_id
        assert not entry.described
        assert entry.label is None
        assert store.get(backup_id) == entry

    def test_of_another_file(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        (directory / f"{FIRST}.json").rename(directory / f"{SECOND}.json")
        (directory / f"{FIRST}.tar.gz").rename(directory / f"{SECOND}.tar.gz")
        self.bare(store, SECOND)

    def test_of_the_plain_file_for_an_encrypted_one(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        (directory / f"{FIRST}.tar.gz").rename(directory / f"{FIRST}.tar.gz.age")
        self.bare(store)

    def test_of_another_size(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        (directory / f"{FIRST}.tar.gz").write_bytes(CONTENT[:-1])
        (entry,) = store.entries()
        assert entry.size == len(CONTENT) - 1
        assert "cut or replaced" in entry.warnings[-1]

    def test_of_another_size_is_not_lost_by_a_verification(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        before = store.get(FIRST)
        file = directory / f"{FIRST}.tar.gz"
        file.write_bytes(CONTENT[:-1])
        store.record_verification(FIRST, Verification(datetime.now(UTC), ok=False))
        file.write_bytes(CONTENT)
        after = store.get(FIRST)
        assert (after.outcome, after.label, after.sha256) == (before.outcome, before.label, before.sha256)
        assert after.verified is not None
        assert not after.verified.ok

    def test_with_another_id(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        self.change(directory, backup_id="../../etc")
        self.bare(store)

    def test_with_a_time_that_cannot_be_compared(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        copy_in(directory, "other.tar.gz")
        self.change(directory, created_at="2026-11-23T12:00:00")
        assert {entry.described for entry in store.entries()} == {False}

    def test_with_an_end_that_cannot_be_compared(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        self.change(directory, expires_at="2026-11-23T12:00:00")
        assert store.remove_expired(NOON + timedelta(days=99)) == []
        self.bare(store)

    def test_of_an_older_version_of_this_service(self, store: LocalStore, directory: Path) -> None:
        stored = put(store, entry_of())
        sidecar = directory / f"{FIRST}.json"
        older = {name: value for name, value in json.loads(sidecar.read_bytes()).items() if name != "expires_at"}
        sidecar.write_text(json.dumps(older))
        assert store.get(FIRST) == replace(stored, expires_at=None)
        assert store.remove_expired(NOON + timedelta(days=99)) == []

    @pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"backup_id": 1}', b"[" * 100_000])
    def test_damaged(self, store: LocalStore, directory: Path, raw: bytes) -> None:
        put(store, entry_of())
        (directory / f"{FIRST}.json").write_bytes(raw)
        self.bare(store)

    def test_that_is_a_folder(self, store: LocalStore, directory: Path) -> None:
        copy_in(directory, f"{FIRST}.tar.gz")
        (directory / f"{FIRST}.json").mkdir()
        self.bare(store)

    def test_without_an_archive(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        (directory / f"{FIRST}.tar.gz").unlink()
        assert store.entries() == []

    def change(self, directory: Path, **values: str) -> None:
        sidecar = directory / f"{FIRST}.json"
        sidecar.write_text(json.dumps(json.loads(sidecar.read_bytes()) | values))


class TestSweeping:
    def test_what_unfinished_writers_left_is_removed_and_nothing_else(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        copy_in(directory, "copied.tar.gz")
        kept = [*names(directory), copy_in(directory, ".swp").name, copy_in(directory, "x.partial").name]
        kept.append(copy_in(directory, ".download.partial").name)
        left = [f".{SECOND}.tar.gz.partial", f".{FIRST}.tar.gz.age.partial", f".{FIRST}.json.ab12_x.partial"]
        for name in left:
            copy_in(directory, name)
        assert store.sweep() == sorted(left)  # the sidecar of what is there stays
        assert names(directory) == sorted(kept)
        assert store.sweep() == []

    def test_the_names_that_writers_use_are_swept(self, store: LocalStore, directory: Path) -> None:
        with store.create(FIRST, encrypted=True) as plain, store.create(SECOND, encrypted=False) as other:
            plain.write(CONTENT)
            other.write(CONTENT)
            assert len(names(directory)) == 2
            assert len(store.sweep()) == 2
            assert names(directory) == []

    def test_a_writer_that_died_just_before_its_archive_was_visible(self, store: LocalStore, directory: Path) -> None:
        put(store, entry_of())
        left = [f".{FIRST}.tar.gz.partial", f"{FIRST}.json"]
        (directory / f"{FIRST}.tar.gz").rename(directory / left[0])
        assert store.sweep() == left
        assert names(directory) == []

    def test_no_directory_is_nothing_to_sweep(self, store: LocalStore, directory: Path) -> None:
        assert store.sweep() == []
        assert not directory.exists()


class TestDirectory:
    def test_a_file_in_its_place(self, store: LocalStore, directory: Path) -> None:
        directory.parent.mkdir()
        directory.write_bytes(b"in the way")
        assert store.entries() == []
        with pytest.raises(JobError) as caught, store.create(FIRST, encrypted=False):
            pass
        assert caught.value.code is Code.WRITE_FAILED
        assert directory.read_bytes() == b"in the way"
