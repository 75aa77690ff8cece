import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.cell.layout import Component, load_layout
from app.errors import Code, InputError


def layout_file(folder: Path, content: Any) -> Path:
    path = folder / "layout.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_shipped_table_has_the_components_in_restore_order() -> None:
    assert load_layout(None).names == ("vault", "identity", "web", "access", "credentials", "rest")


@pytest.mark.parametrize(
    ("path", "component"),
    [
        ("data/vault/ca/ca.key", "vault"),
        ("config/api/cell_config.json", "identity"),
        (".env", "identity"),
        ("docker-compose.yml", "identity"),
        ("Makefile", "identity"),
        ("data/wireguard/server.key", "identity"),
        ("config/wireguard/wg0.conf", "identity"),
        ("data/cell_links.json", "identity"),
        ("data/caddy/caddy/certificates/a.crt", "web"),
        ("config/caddy/Caddyfile", "web"),
        ("config/dns/Corefile", "web"),
        ("data/dns/cell.zone", "web"),
        ("data/connectivity/a.conf", "access"),
        ("data/connectivity_state.json", "access"),
        ("data/auth/x", "access"),
        ("data/auth_users.json", "access"),
        ("data/ddns/token", "access"),
        ("data/ddns_token", "access"),
        ("data/services/mail/accounts.json", "credentials"),
        ("data/services/mail/accounts-old.json", "credentials"),
        ("data/service_credentials/ada.json", "credentials"),
        ("data/services/mail/manifest.json", "rest"),
        ("config/api/other.json", "rest"),
        ("data/.hidden", "rest"),
        ("data/\udcff\n", "rest"),
        ("backups/a.tar.gz", None),
        (".git/config", None),
        ("Caddyfile", None),
        ("configuration/x", None),
    ],
)
def test_the_shipped_table_places(path: str, component: str | None) -> None:
    layout = load_layout(None)

    assert layout.component_of(path) == component
    assert not layout.excludes(path)


@pytest.mark.parametrize(
    "path",
    ["data/logs/a", "data/a/logs/b/c", "data/x.log", "config/a/b.log", "data/api/config_backups/a/b", "data/logs/"],
)
def test_the_shipped_table_leaves_out(path: str) -> None:
    assert load_layout(None).excludes(path)


def test_a_layout_file_replaces_the_table_and_rest_is_added_last(tmp_path: Path) -> None:
    table = {"components": [{"name": "keys", "patterns": ["data/**/*.key"]}], "excluded": ["data/tmp/**"]}

    layout = load_layout(layout_file(tmp_path, table))

    assert layout.components == (Component("keys", ("data/**/*.key",)), Component("rest", ("config/**", "data/**")))
    assert layout.excluded == ("data/tmp/**",)


def test_a_rest_that_a_layout_file_names_first_still_comes_last_and_still_takes_everything(tmp_path: Path) -> None:
    table = {"components": [{"name": "rest", "patterns": ["extra/**"]}, {"name": "a", "patterns": ["data/a"]}]}

    layout = load_layout(layout_file(tmp_path, table))

    assert layout.components == (Component("a", ("data/a",)), Component("rest", ("config/**", "data/**", "extra/**")))


def test_a_layout_file_that_says_nothing_of_exclusions_keeps_the_shipped_ones(tmp_path: Path) -> None:
    assert load_layout(layout_file(tmp_path, {"components": []})).excluded == load_layout(None).excluded


def test_a_layout_file_can_exclude_nothing(tmp_path: Path) -> None:
    layout = load_layout(layout_file(tmp_path, {"components": [], "excluded": []}))

    assert not layout.excludes("data/logs/x")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("{", "document"),
        ("[]", "document"),
        ({}, "components"),
        ({"components": [{"name": "a"}]}, "components[0].patterns"),
        ({"components": [{"name": "a", "patterns": []}]}, "components[0].patterns"),
        ({"components": [{"name": "a", "patterns": ["data/a", "/etc"]}]}, "components[0].patterns[1]"),
        ({"components": [{"name": "A b", "patterns": ["data/a"]}]}, "components[0].name"),
        ({"components": [{"name": "a\n", "patterns": ["data/a"]}]}, "components[0].name"),
        ({"components": [{"name": "a", "patterns": ["x"]}] * 2}, "components: Value error, named more than once: a"),
        ({"components": [], "excluded": ["a/../b"]}, "excluded[0]"),
        ({"components": [], "exclude": []}, "exclude"),
        ({"components": [], "two\nlines": []}, "two\\nlines"),
    ],
)
def test_a_broken_layout_file_is_refused_with_its_name_and_the_field(tmp_path: Path, content: Any, field: str) -> None:
    path = layout_file(tmp_path, content)

    with pytest.raises(InputError) as caught:
        load_layout(path)

    assert caught.value.code == Code.INVALID_LAYOUT
    assert f"Layout file {path}: {field}" in caught.value.message


@pytest.mark.parametrize("what", ["missing", "directory", "fifo", "huge"])
def test_a_layout_file_that_cannot_be_read_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "directory":
        path.mkdir()
    if what == "fifo":
        os.mkfifo(path)
    if what == "huge":
        path.write_bytes(b'{"components": []}' + b" " * (4 * 1024 * 1024))

    with pytest.raises(InputError) as caught:
        load_layout(path)

    assert caught.value.code == Code.INVALID_LAYOUT
    assert str(path) in caught.value.message
