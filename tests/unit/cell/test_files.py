import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.cell.files import Totals, check_cell_root, take_inventory
from app.cell.layout import load_layout
from app.errors import Code, InputError
from tests.unit.cell.support import paths, write

NAMES = [b"vault", b"auth", b"auth.json", b"services", b"logs", b"x.log", b"config_backups", b".a", b"\xff", b"n\nl"]


def everything_below(root: Path) -> set[str]:
    """List all that lies under config/ and data/, by means of its own."""
    found: set[str] = set()
    for top in ("config", "data"):
        for folder, directories, files in os.walk(root / top):
            here = os.path.relpath(folder, root)
            found.add(here)
            found |= {f"{here}/{name}" for name in [*directories, *files]}
    return found


def left_out(root: Path, path: str) -> bool:
    *parents, name = path.split("/")
    is_directory = (root / path).is_dir()
    folders = {*parents, name} if is_directory else set(parents)
    return bool(folders & {"logs", "config_backups"}) or (name.endswith(".log") and not is_directory)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), st.booleans()), max_size=12))
def test_every_path_is_in_exactly_one_component_or_left_out_and_parents_come_first(
    tree: list[tuple[list[bytes], bool]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "config").mkdir()
        for number, (parts, is_directory) in enumerate(tree):
            made = root.joinpath(("config", "data")[number % 2], *map(os.fsdecode, parts))
            try:
                (made if is_directory else made.parent).mkdir(parents=True, exist_ok=True)
                if not is_directory:
                    made.touch()
            except OSError:
                continue  # a file stands where this path wants a directory, or the other way round

        found = [path for entries in paths(take_inventory(root, load_layout(None))).values() for path in entries]

        assert sorted(found) == sorted(path for path in everything_below(root) if not left_out(root, path))
        for at, path in enumerate(found):
            assert "/" not in path or path.rpartition("/")[0] in found[:at]


def test_the_sample_cell_is_grouped_as_the_design_says(cell: Path) -> None:
    grouped = paths(take_inventory(cell, load_layout(None), leave_out=[cell / "backups"]))

    assert list(grouped) == ["vault", "identity", "web", "access", "credentials", "rest"]
    assert grouped["vault"][:3] == ["data", "data/vault", "data/vault/ca"]
    assert "data/vault/vault.key" in grouped["vault"]
    assert {".env", "Makefile", "docker-compose.yml", "config", "config/api"} <= set(grouped["identity"])
    assert {"config/caddy/Caddyfile", "config/dns/Corefile", "data/dns/cell.zone"} <= set(grouped["web"])
    assert {"data/auth_users.json", "data/ddns/token", "data/auth"} <= set(grouped["access"])
    assert "data/services/mail/accounts.json" in grouped["credentials"]
    assert {"data/peers.json", "data/services/mail/manifest.json", "data/services/mail/outbox"} <= set(grouped["rest"])
    everything = [path for entries in grouped.values() for path in entries]
    assert not [path for path in everything if "logs" in path or path.endswith(".log") or "config_backups" in path]
    assert not [path for path in everything if path.startswith(("backups", "api"))]


def test_a_shared_parent_goes_to_the_first_component_that_was_chosen(cell: Path) -> None:
    grouped = paths(take_inventory(cell, load_layout(None), chosen=["credentials", "web"]))

    assert list(grouped) == ["web", "credentials"]
    assert grouped["web"][:2] == ["config", "config/caddy"]
    assert "data" in grouped["web"]
    assert grouped["credentials"][0] == "data/services"


def test_an_empty_directory_belongs_where_its_content_would(bare: Path) -> None:
    (bare / "data/vault").mkdir()
    (bare / "data/other").mkdir()

    grouped = paths(take_inventory(bare, load_layout(None)))

    assert grouped == {"vault": ["data", "data/vault"], "rest": ["config", "data/other"]}


def test_a_component_without_anything_is_absent_unless_it_was_asked_for(bare: Path) -> None:
    (asked,) = take_inventory(bare, load_layout(None), chosen=["vault"]).components

    assert list(paths(take_inventory(bare, load_layout(None)))) == ["rest"]
    assert (asked.name, asked.entries) == ("vault", ())
    assert asked.warnings == ("Nothing in the cell belongs to 'vault'.",)


def test_entries_carry_what_lstat_says_and_links_are_not_followed(bare: Path) -> None:
    write(bare / "data/vault/key").chmod(0o640)
    (bare / "data/vault/link").symlink_to("key")

    (vault,) = take_inventory(bare, load_layout(None), chosen=["vault"]).components

    kinds = {entry.path: entry.stat for entry in vault.entries}
    assert stat.S_IMODE(kinds["data/vault/key"].st_mode) == 0o640
    assert stat.S_ISLNK(kinds["data/vault/link"].st_mode)
    assert kinds["data/vault/key"].st_mtime_ns == (bare / "data/vault/key").stat().st_mtime_ns


def test_totals_count_a_file_with_two_names_once(bare: Path) -> None:
    first = write(bare / "data/vault/a", b"12345")
    (bare / "data/b").hardlink_to(first)
    write(bare / "data/c", b"123")
    (bare / "data/d").symlink_to("c")

    assert take_inventory(bare, load_layout(None)).totals() == Totals(files=2, bytes=8)


def test_names_that_are_no_text_keep_their_bytes(bare: Path) -> None:
    (bare / "data/vault" / os.fsdecode(b"\xff\n-\\")).mkdir(parents=True)

    (vault,) = take_inventory(bare, load_layout(None), chosen=["vault"]).components

    assert os.fsencode(vault.entries[-1].path) == b"data/vault/\xff\n-\\"


@contextmanager
def deep_tree(folder: Path, depth: int) -> Iterator[str]:
    """Make directories in one another, and remove them: pytest's own cleaning up goes down by recursion."""
    path = folder
    here = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
            path /= "d"
        yield "/d" * depth
    finally:
        os.close(here)
        os.removedirs(path)


def test_very_deep_directories_are_walked_without_recursion(bare: Path) -> None:
    with deep_tree(bare / "data", 1500) as below:
        (rest,) = take_inventory(bare, load_layout(None)).components

    assert rest.entries[-1].path == "data" + below
    assert not rest.faults


def test_the_service_s_own_directories_are_left_out_by_what_they_are_not_by_name(bare: Path) -> None:
    for name in ("archives", "state"):
        write(bare / "data" / name / "x")
    (bare / "alias").symlink_to("data/archives")

    grouped = paths(take_inventory(bare, load_layout(None), leave_out=[bare / "alias", bare / "data/state", bare]))

    assert grouped == {"rest": ["config", "data"]}


def test_a_place_for_archives_that_is_the_cell_s_data_itself_is_refused(bare: Path) -> None:
    with pytest.raises(InputError) as caught:
        take_inventory(bare, load_layout(None), leave_out=[bare / "data"])

    assert caught.value.code == Code.INVALID_SETTING


def test_top_level_names_that_an_archive_uses_are_never_the_cell_s(bare: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "layout.json", '{"components": [{"name": "all", "patterns": ["**"]}]}')
    write(bare / "services/mail/data/x")
    write(bare / "certs/x")

    (everything,) = take_inventory(bare, load_layout(table)).components

    assert [entry.path for entry in everything.entries] == ["certs", "certs/x", "config", "data"]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda _: None, Code.CELL_ROOT_MISSING),
        (lambda root: root.write_text(""), Code.CELL_ROOT_NOT_A_CELL),
        (lambda root: root.mkdir(), Code.CELL_ROOT_NOT_A_CELL),
        (lambda root: write(root / "config"), Code.CELL_ROOT_NOT_A_CELL),
    ],
)
def test_a_folder_that_is_no_cell_is_refused(tmp_path: Path, make: object, code: Code) -> None:
    assert callable(make)
    make(tmp_path / "root")

    with pytest.raises(InputError) as caught:
        check_cell_root(tmp_path / "root")

    assert caught.value.code == code


def test_a_cell_root_may_be_reached_through_a_link(cell: Path, tmp_path: Path) -> None:
    (tmp_path / "pic").symlink_to(cell)

    assert paths(take_inventory(tmp_path / "pic", load_layout(None))) == paths(take_inventory(cell, load_layout(None)))
