import os
import socket
from pathlib import Path

import pytest

from app.cell.files import ComponentFiles, check_cell_root, take_inventory
from app.cell.layout import load_layout
from app.cell.walk import Walk
from app.errors import Code, InputError
from tests.unit.cell.support import ordinary_user, paths, write


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


def test_a_directory_that_cannot_be_read_is_a_fault_of_its_component_and_the_rest_goes_on() -> None:
    with ordinary_user() as root:
        write(root / "config/x")
        write(root / "data/vault/closed/key")
        write(root / "data/vault/open/key")
        (root / "data/vault/closed").chmod(0)

        inventory = take_inventory(root, load_layout(None))
        (root / "data/vault/closed").chmod(0o700)

    vault, rest = inventory.components
    assert [(fault.code, fault.message) for fault in vault.faults] == [
        (Code.FILE_UNREADABLE, "data/vault/closed cannot be read: Permission denied.")
    ]
    assert not rest.faults
    assert [entry.path for entry in vault.entries] == [
        "data", "data/vault", "data/vault/closed", "data/vault/open", "data/vault/open/key",
    ]  # fmt: skip


def test_a_directory_whose_names_can_be_listed_but_not_opened_is_a_fault_too() -> None:
    with ordinary_user() as root:
        write(root / "config/x")
        write(root / "data/vault/key")
        (root / "data/vault").chmod(0o400)

        vault = component(root, "vault")
        (root / "data/vault").chmod(0o700)

    assert [fault.message for fault in vault.faults] == ["data/vault/key cannot be read: Permission denied."]


def test_an_unreadable_data_folder_fails_every_component_that_has_a_place_in_it() -> None:
    with ordinary_user() as root:
        write(root / "config/caddy/Caddyfile")
        write(root / "data/vault/key")
        (root / "data").chmod(0)

        inventory = take_inventory(root, load_layout(None))
        (root / "data").chmod(0o700)

    assert [item.name for item in inventory.components if item.faults] == list(load_layout(None).names)
    assert paths(inventory)["web"] == ["config", "config/caddy", "config/caddy/Caddyfile"]


def test_an_unreadable_cell_root_is_refused() -> None:
    with ordinary_user() as folder:
        root = folder / "root"
        (root / "config").mkdir(parents=True)
        for mode in (0, 0o400, 0o100):
            root.chmod(mode)
            with pytest.raises(InputError) as caught:
                check_cell_root(root)
            assert caught.value.code == Code.CELL_ROOT_UNREADABLE
        root.chmod(0o700)


def test_what_vanishes_during_the_walk_is_a_warning(bare: Path) -> None:
    write(bare / "data/vault/a/x")
    write(bare / "data/vault/b")

    class Slow(Walk):
        def _children(self, prefix: str) -> list[str]:
            if prefix == "data/vault/a/":
                (bare / "data/vault/a/x").unlink()
                (bare / "data/vault/a").rmdir()
            names = super()._children(prefix)
            if prefix == "data/vault/":
                (bare / "data/vault/b").unlink()
            return names

    walk = Slow(bare, load_layout(None), ["vault"], set())
    walk.run()

    assert walk.warnings["vault"] == [
        "data/vault/a/: vanished while the cell was being listed.",
        "data/vault/b: vanished while the cell was being listed.",
    ]
    assert not walk.faults["vault"]


def test_a_link_that_leads_out_of_the_cell_is_kept_and_named(bare: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/file").parent
    (bare / "data/away").symlink_to(outside)
    (bare / "data/file").symlink_to(outside / "file")
    write(bare / "data/inside")
    (bare / "data/near").symlink_to("inside")
    (bare / "data/broken").symlink_to("nowhere")

    rest = component(bare, "rest")

    assert {"data/away", "data/file", "data/near", "data/broken"} <= {entry.path for entry in rest.entries}
    assert rest.warnings == (
        f"data/away: a link to {outside}, which is not saved.",
        f"data/file: a link to {outside}/file, which is not saved.",
    )
    assert not rest.faults


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
