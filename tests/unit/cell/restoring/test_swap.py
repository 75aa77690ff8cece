import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.cell.restoring.plan import plan_files
from app.cell.restoring.swap import Swap
from app.cell.restoring.workspace import unfinished
from app.errors import Code, JobError
from tests.support.trees import describe, differences
from tests.unit.cell.restoring.support import LAYOUT, restore, save, staged
from tests.unit.cell.restoring.test_kills import other_cell, small_cell
from tests.unit.cell.support import closed, write


@contextmanager
def prepared(root: Path, archive: bytes) -> Iterator[Swap]:
    with staged(root, archive) as staging:
        swap = Swap(staging.workspace, plan_files(staging, chosen=LAYOUT.names))
        swap.prepare()
        yield swap


def apply_all(swap: Swap) -> None:
    for name in LAYOUT.names:
        swap.apply(name)
    swap.finish_folders()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return small_cell(tmp_path / "old")


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return save(other_cell(tmp_path / "other"))


def test_a_disk_that_fails_at_any_rename_ends_in_the_old_state(
    old: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = describe(old)
    failed: list[JobError] = []
    while not _survives(old, archive, monkeypatch, len(failed), failed):
        assert differences(before, describe(old)) == []

    assert len(failed) > 15
    assert {error.code for error in failed} == {Code.SWAP_FAILED}
    assert all("could not be swapped in: Input/output error" in error.message for error in failed)


def _survives(old: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch, fail_at: int, failed: list[JobError]) -> bool:
    """Tell whether the swap came to its end; what failed at the rename of that number is put back."""
    rename, calls = os.rename, iter(range(1000))

    def failing(*args: Any, **kwargs: Any) -> None:
        if next(calls) == fail_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(*args, **kwargs)

    with prepared(old, archive) as swap:
        monkeypatch.setattr(os, "rename", failing)
        try:
            apply_all(swap)
        except JobError as error:
            failed.append(error)
            monkeypatch.setattr(os, "rename", rename)
            swap.roll_back()
            return False
        monkeypatch.setattr(os, "rename", rename)
        swap.commit()
        return True


def test_a_file_that_is_replaced_is_there_at_every_instant(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(bare / "data/file", "archive")
    archive = save(bare)
    path.write_text("old")
    rename, seen = os.rename, []

    def looking(*args: Any, **kwargs: Any) -> None:
        seen.append(path.read_text())
        rename(*args, **kwargs)
        seen.append(path.read_text())

    with prepared(bare, archive) as swap:
        monkeypatch.setattr(os, "rename", looking)
        apply_all(swap)
        monkeypatch.setattr(os, "rename", rename)
        swap.commit()

    assert seen == ["old", "archive"]


def test_a_file_that_may_not_be_linked_is_renamed(old: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    before = describe(old)
    with prepared(old, archive) as swap:
        monkeypatch.setattr(os, "link", refused)
        apply_all(swap)
        assert (old / "data/vault/vault.key").read_text() == "new key"
        swap.roll_back()

    assert differences(before, describe(old)) == []


def test_a_file_that_changed_after_the_plan_comes_back_as_it_was_last(bare: Path) -> None:
    path = write(bare / "data/file", "archive")
    archive = save(bare)
    path.write_text("plan")
    with prepared(bare, archive) as swap:
        path.unlink()
        path.write_text("came after the plan")
        apply_all(swap)
        assert path.read_text() == "archive"
        swap.roll_back()

    assert path.read_text() == "came after the plan"


def test_a_file_that_appeared_after_the_plan_comes_back(bare: Path) -> None:
    path = write(bare / "data/file", "archive")
    archive = save(bare)
    path.unlink()
    with prepared(bare, archive) as swap:
        path.write_text("came after the plan")
        apply_all(swap)
        assert path.read_text() == "archive"
        swap.roll_back()

    assert path.read_text() == "came after the plan"


def test_a_file_that_vanished_after_the_plan_is_brought_and_taken_away_again(bare: Path) -> None:
    path = write(bare / "data/file", "archive")
    archive = save(bare)
    path.write_text("plan")
    with prepared(bare, archive) as swap:
        path.unlink()
        apply_all(swap)
        assert path.read_text() == "archive"
        swap.roll_back()

    assert not path.exists()


def test_a_folder_that_got_a_file_after_the_plan_is_not_removed(bare: Path) -> None:
    archive = save(bare)
    write(bare / "data/stale/file")
    with prepared(bare, archive) as swap:
        write(bare / "data/stale/late", "late")
        apply_all(swap)
        swap.commit()

    assert [path.name for path in (bare / "data/stale").iterdir()] == ["late"]


def test_putting_back_twice_is_the_same_even_if_a_new_file_was_removed_in_between(bare: Path) -> None:
    replaced = write(bare / "data/replaced", "archive")
    archive = save(bare)
    replaced.write_text("old")
    with prepared(bare, archive) as swap:
        apply_all(swap)
        replaced.unlink()
        swap.roll_back()
        assert replaced.read_text() == "old"
        swap.roll_back()

    assert replaced.read_text() == "old"


def test_a_folder_that_was_exchanged_for_a_link_is_not_followed(bare: Path, tmp_path: Path) -> None:
    write(bare / "data/services/x/file", "archive")
    archive = save(bare)
    write(bare / "data/services/x/file", "old")
    outside = write(tmp_path / "outside/file", "outside").parent
    with prepared(bare, archive) as swap:
        (bare / "data/services/x").rename(bare / "data/services/y")
        (bare / "data/services/x").symlink_to(outside)
        with pytest.raises(JobError) as caught:
            apply_all(swap)
        (bare / "data/services/x").unlink()
        (bare / "data/services/y").rename(bare / "data/services/x")
        swap.roll_back()

    assert caught.value.code is Code.SWAP_FAILED
    assert "data/services/x/file" in caught.value.message
    assert (outside / "file").read_text() == "outside"
    assert (bare / "data/services/x/file").read_text() == "old"


def test_what_cannot_be_put_back_is_named_and_the_rest_is_put_back_and_the_next_process_does_it(
    old: Path, archive: bytes
) -> None:
    before = describe(old)
    with prepared(old, archive) as swap:
        apply_all(swap)
        (old / "config/caddy").rename(old / "config/elsewhere")
        with pytest.raises(JobError) as caught:
            swap.roll_back()
        (old / "config/elsewhere").rename(old / "config/caddy")

    assert caught.value.code is Code.ROLLBACK_FAILED
    assert "config/caddy/Caddyfile" in caught.value.message
    assert (old / "data/vault/vault.key").read_text() == "old key"
    with unfinished(old) as left:
        assert left is not None
        assert left.roll_back() == ()
    assert differences(before, describe(old)) == []


def test_nothing_is_taken_for_new_where_the_files_put_aside_are_gone(old: Path, archive: bytes) -> None:
    with prepared(old, archive) as swap:
        swap.apply("vault")
        (old / ".cell-backup/restore/undo").rename(old / ".cell-backup/restore/moved")
        before = describe(old)
    with unfinished(old) as left:
        assert left is not None
        with pytest.raises(JobError) as caught:
            left.roll_back()

    assert caught.value.code is Code.ROLLBACK_FAILED
    assert differences(before, describe(old)) == []


def test_a_new_folder_that_somebody_uses_already_stays_and_is_told(bare: Path) -> None:
    write(bare / "data/new/file")
    archive = save(bare)
    (bare / "data/new/file").unlink()
    (bare / "data/new").rmdir()
    with prepared(bare, archive) as swap:
        apply_all(swap)
        write(bare / "data/new/of somebody", "else")
        (warning,) = swap.roll_back()

    assert "data/new: the new folder stays" in warning
    assert [path.name for path in (bare / "data/new").iterdir()] == ["of somebody"]


def test_what_is_done_cannot_be_put_back(old: Path, archive: bytes) -> None:
    with prepared(old, archive) as swap:
        apply_all(swap)
        swap.commit()
        with pytest.raises(JobError) as caught:
            swap.roll_back()

    assert caught.value.code is Code.ROLLBACK_FAILED
    assert (old / "data/vault/vault.key").read_text() == "new key"


def test_a_swap_that_is_told_to_end_is_rolled_back(old: Path, archive: bytes) -> None:
    before = describe(old)

    def told() -> None:
        raise JobError(Code.CANCELLED, "told to end")

    with prepared(old, archive) as swap:
        swap.apply("vault")
        with pytest.raises(JobError, match="told to end"):
            swap.apply("rest", told)
        swap.roll_back()

    assert differences(before, describe(old)) == []


@pytest.mark.parametrize("mode", [0o500, 0o555])
def test_folders_that_even_their_owner_may_not_write_to_come_back(bare: Path, mode: int) -> None:
    write(bare / "data/closed/file", "1")
    (bare / "data/closed").chmod(mode)
    archive = save(bare)
    before = describe(bare)
    (bare / "data/closed").chmod(0o700)
    (bare / "data/closed/file").unlink()
    (bare / "data/closed").rmdir()

    restore(bare, archive)

    assert differences(before, describe(bare)) == []


def test_a_folder_that_takes_no_file_fails_the_swap(bare: Path) -> None:
    path = write(bare / "data/closed/file", "archive")
    archive = save(bare)
    path.write_text("old")
    with prepared(bare, archive) as swap:
        with closed(path.parent, 0o500), pytest.raises(JobError) as caught:
            apply_all(swap)
        swap.roll_back()

    assert caught.value.code is Code.SWAP_FAILED
    assert "data/closed/file could not be swapped in: Permission denied" in caught.value.message
    assert path.read_text() == "old"
