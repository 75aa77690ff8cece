import contextlib
import os
import socket
from pathlib import Path

import pytest

from app.cell.files import ComponentFiles, check_cell_root, take_inventory
from app.cell.layout import load_layout
from app.errors import Code, InputError
from tests.unit.cell.support import closed, paths, write


def component(root: Path, name: str) -> ComponentFiles:
    (found,) = take_inventory(root, load_layout(None), chosen=[name]).components
    return found


def test_sockets_and_fifos_are_left_out_and_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "data/vault").mkdir()
    os.mkfifo(bare / "data/vault/pipe\n")
    monkeypatch.chdir(bare / "data/vault")  # the address of a socket has room for a hundred bytes only
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")

        vault = component(bare, "vault")

    assert [entry.path for entry in vault.entries] == ["data", "data/vault"]
    assert vault.warnings == ("data/vault/pipe\\n: a FIFO, left out.", "data/vault/sock: a socket, left out.")


def test_a_directory_that_cannot_be_read_is_a_fault_of_its_component_and_the_rest_goes_on(bare: Path) -> None:
    write(bare / "config/x")
    write(bare / "data/vault/closed/key")
    write(bare / "data/vault/open/key")

    with closed(bare / "data/vault/closed"):
        vault, rest = take_inventory(bare, load_layout(None)).components

    assert [(fault.code, fault.message) for fault in vault.faults] == [
        (Code.FILE_UNREADABLE, "data/vault/closed cannot be read: Permission denied.")
    ]
    assert not rest.faults
    assert [entry.path for entry in vault.entries] == [
        "data", "data/vault", "data/vault/closed", "data/vault/open", "data/vault/open/key",
    ]  # fmt: skip


def test_a_directory_whose_names_can_be_listed_but_not_opened_is_a_fault_too(bare: Path) -> None:
    write(bare / "data/vault/key")

    with closed(bare / "data/vault", 0o400):
        vault = component(bare, "vault")

    assert [fault.message for fault in vault.faults] == ["data/vault/key cannot be read: Permission denied."]


def test_an_unreadable_data_folder_fails_every_component_that_has_a_place_in_it(bare: Path) -> None:
    write(bare / "config/caddy/Caddyfile")
    write(bare / "data/vault/key")

    with closed(bare / "data"):
        inventory = take_inventory(bare, load_layout(None))

    assert [item.name for item in inventory.components if item.faults] == list(load_layout(None).names)
    assert paths(inventory)["web"] == ["config", "config/caddy", "config/caddy/Caddyfile"]


@pytest.mark.parametrize("mode", [0, 0o400, 0o100])
def test_an_unreadable_cell_root_is_refused(bare: Path, mode: int) -> None:
    with closed(bare, mode), pytest.raises(InputError) as caught:
        check_cell_root(bare)

    assert caught.value.code == Code.CELL_ROOT_UNREADABLE


def test_what_vanishes_during_the_walk_is_a_warning(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bare / "data/vault/a/x")
    write(bare / "data/vault/b")
    real = os.scandir

    def scandir(path: Path) -> object:
        if path == bare / "data/vault/a":
            (path / "x").unlink()
            path.rmdir()
        if path != bare / "data/vault":
            return real(path)
        names = contextlib.nullcontext(list(real(path)))
        (path / "b").unlink()
        return names

    monkeypatch.setattr(os, "scandir", scandir)
    vault = component(bare, "vault")

    assert vault.warnings == (
        "data/vault/a/: vanished while the cell was being listed.",
        "data/vault/b: vanished while the cell was being listed.",
    )
    assert not vault.faults


def test_a_link_that_leads_out_of_the_cell_is_left_out_and_named(bare: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/file").parent
    (bare / "data/away").symlink_to(outside)
    (bare / "data/file").symlink_to(outside / "file")
    write(bare / "data/inside")
    (bare / "data/near").symlink_to("inside")
    (bare / "data/broken").symlink_to("nowhere")

    rest = component(bare, "rest")

    assert {entry.path for entry in rest.entries} == {"data", "data/inside", "data/near", "data/broken", "config"}
    assert rest.warnings == (
        f"data/away: a link that leads out of the cell ({outside}), left out.",
        f"data/file: a link that leads out of the cell ({outside}/file), left out.",
    )
    assert not rest.faults


@pytest.mark.parametrize("target", ["..", "../../x", "deep/../../x", "down/../../data/x", "/etc/localtime"])
def test_a_link_no_restore_would_take_is_left_out_whether_it_leads_somewhere_or_not(bare: Path, target: str) -> None:
    (bare / "data/down").symlink_to("deep/er")
    (bare / "data/link").symlink_to(target)

    rest = component(bare, "rest")

    is_saved = "data/link" in {entry.path for entry in rest.entries}
    assert is_saved == (target in {"..", "deep/../../x"})
    assert any("data/link" in warning and "left out" in warning for warning in rest.warnings) == (not is_saved)


def test_a_link_in_the_place_of_a_component_s_folder_is_a_fault_of_that_component(bare: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "disk/key").parent
    (bare / "data/vault").symlink_to(outside)

    vault = component(bare, "vault")

    assert [fault.message for fault in vault.faults] == [f"data/vault is a link to {outside}, which is not saved."]


def test_a_data_folder_that_is_a_link_fails_every_component_that_has_a_place_in_it(bare: Path) -> None:
    (bare / "data").rename(bare / "elsewhere")
    (bare / "data").symlink_to("elsewhere")

    inventory = take_inventory(bare, load_layout(None))

    assert [item.name for item in inventory.components if item.faults] == list(load_layout(None).names)
