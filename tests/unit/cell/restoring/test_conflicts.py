"""What is in the way of a restore and must not be touched is named, and nothing changes."""

import socket
from pathlib import Path

import pytest

from app.errors import Code, JobError
from tests.support.trees import describe, differences
from tests.unit.cell.restoring.support import LAYOUT, plan, restore, save
from tests.unit.cell.support import closed, write


def refused(
    root: Path, archive: bytes, *, chosen: tuple[str, ...] = LAYOUT.names, overlay: tuple[str, ...] = ()
) -> str:
    """Give the words of the conflict, and prove that nothing changed."""
    before = describe(root)
    with pytest.raises(JobError) as caught:
        plan(root, archive, chosen=chosen, overlay=overlay)
    assert caught.value.code is Code.PLAN_CONFLICT
    assert differences(before, describe(root)) == []
    return caught.value.message


def test_a_socket_in_the_way_is_a_conflict(bare: Path) -> None:
    write(bare / "data/control")
    archive = save(bare)
    (bare / "data/control").unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(bare / "data/control"))

    assert "data/control is in the way" in refused(bare, archive)


def test_a_folder_that_holds_something_foreign_makes_no_room_for_a_file(bare: Path) -> None:
    write(bare / "data/thing")
    archive = save(bare)
    (bare / "data/thing").unlink()
    write(bare / "data/thing/logs/today.txt")

    assert "'logs' in it stays" in refused(bare, archive)


def test_a_folder_makes_no_room_where_nothing_is_removed(bare: Path) -> None:
    write(bare / "data/thing")
    archive = save(bare)
    (bare / "data/thing").unlink()
    write(bare / "data/thing/file")

    assert "data/thing is in the way" in refused(bare, archive, overlay=("rest",))


def test_a_file_of_a_component_that_is_not_restored_makes_no_room(bare: Path) -> None:
    write(bare / "data/vault/key")
    archive = save(bare)
    (bare / "data/vault/key").unlink()
    (bare / "data/vault").rmdir()
    write(bare / "data/vault", "a file, which belongs to the rest")

    assert "'rest', which is not restored" in refused(bare, archive, chosen=("vault",))
    restore(bare, archive)
    assert (bare / "data/vault/key").exists()


@pytest.mark.parametrize("path", ["data", "data/vault"])
def test_nothing_is_written_through_a_link_that_stands_for_a_folder(bare: Path, tmp_path: Path, path: str) -> None:
    write(bare / "data/vault/key", "1")
    archive = save(bare)
    elsewhere = tmp_path / "elsewhere"
    (bare / path).rename(elsewhere)
    (bare / path).symlink_to(elsewhere)

    message = refused(bare, archive)

    assert f"{path} is in the way: it is a link to {elsewhere}" in message


def test_a_top_level_folder_is_never_a_link_even_to_the_inside(bare: Path) -> None:
    write(bare / "data/file")
    archive = save(bare)
    (bare / "data").rename(bare / "real")
    (bare / "data").symlink_to("real")

    assert "data is in the way: it is a link" in refused(bare, archive)


def test_a_folder_in_the_place_of_a_file_outside_of_config_and_data_is_a_conflict(bare: Path) -> None:
    write(bare / ".env", "A=1")
    archive = save(bare)
    (bare / ".env").unlink()
    write(bare / ".env/inside")

    assert ".env is in the way" in refused(bare, archive)


def test_a_folder_that_cannot_be_listed_is_a_conflict(cell: Path) -> None:
    archive = save(cell)
    with closed(cell / "data/dns"), pytest.raises(JobError) as caught:
        plan(cell, archive)

    assert caught.value.code is Code.PLAN_CONFLICT
    assert "data/dns" in caught.value.message
