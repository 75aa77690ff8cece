"""What a part of a cell needs of others, and variables that would come back empty."""

from pathlib import Path

import pytest

from app.cell.dependencies import empty_variables, unmet
from app.cell.layout import load_layout

EVERYTHING = load_layout(None).names


def test_a_whole_cell_lacks_nothing() -> None:
    assert unmet(EVERYTHING) == []


@pytest.mark.parametrize("name", ["access", "credentials"])
def test_encrypted_secrets_without_the_vault_are_said(name: str) -> None:
    (said,) = unmet([name])
    assert said.startswith(f"'{name}' is restored without 'vault'")
    assert unmet([name, "vault"]) == []


def test_generated_web_files_without_the_identity_are_said() -> None:
    (said,) = unmet(["web"])
    assert "'identity'" in said


@pytest.mark.parametrize("alone", ["vault", "identity", "rest"])
def test_what_needs_nothing_is_restored_alone_without_a_word(alone: str) -> None:
    assert unmet([alone]) == []


def empty(tmp_path: Path, compose: str, env: str | None = "") -> list[str]:
    (tmp_path / "docker-compose.yml").write_text(compose)
    if env is not None:
        (tmp_path / ".env").write_text(env)
    return empty_variables(tmp_path / "docker-compose.yml", tmp_path / ".env")


@pytest.mark.parametrize("use", ["$TOKEN", "${TOKEN}", "${TOKEN:?needed}", "${TOKEN?}", "a${TOKEN}b", "x-$TOKEN-y"])
def test_a_variable_without_a_value_is_named(tmp_path: Path, use: str) -> None:
    assert empty(tmp_path, f"password: {use}\n") == ["TOKEN"]
    assert empty(tmp_path, f"password: {use}\n", "TOKEN=secret\n") == []


@pytest.mark.parametrize("use", ["${TOKEN:-default}", "${TOKEN-default}", "${TOKEN:+given}", "${TOKEN+given}"])
def test_one_that_may_be_missing_is_not(tmp_path: Path, use: str) -> None:
    assert empty(tmp_path, f"password: {use}\n") == []


@pytest.mark.parametrize("use", ["${TOKEN:-}", "${TOKEN-}"])
def test_an_empty_default_is_no_value(tmp_path: Path, use: str) -> None:
    assert empty(tmp_path, f"password: {use}\n") == ["TOKEN"]


@pytest.mark.parametrize("use", ["$$TOKEN", "$${TOKEN}", "costs 5$", "$ {TOKEN}", "${}", "$1"])
def test_what_is_no_variable(tmp_path: Path, use: str) -> None:
    assert empty(tmp_path, f"password: {use}\n") == []


@pytest.mark.parametrize("line", ["TOKEN=x", " TOKEN = x ", "export TOKEN=x", 'TOKEN="x"', "TOKEN='#1'", "TOKEN=a#b"])
def test_ways_to_give_a_value(tmp_path: Path, line: str) -> None:
    assert empty(tmp_path, "a: $TOKEN", f"# comment\n{line}\n") == []


@pytest.mark.parametrize("line", ["TOKEN=", "TOKEN=''", 'TOKEN=""', "# TOKEN=x", "TOKEN= # to do", "TOKENS=x", "TOKEN"])
def test_lines_that_give_no_value(tmp_path: Path, line: str) -> None:
    assert empty(tmp_path, "a: $TOKEN", f"{line}\n") == ["TOKEN"]


def test_each_is_named_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert empty(tmp_path, "$TWO ${ONE} $TWO ${ONE:?} $THREE", "THREE=3\n") == ["TWO", "ONE"]


def test_no_env_file_at_all(tmp_path: Path) -> None:
    assert empty(tmp_path, "a: $TOKEN", env=None) == ["TOKEN"]


def test_no_compose_file_uses_nothing(tmp_path: Path) -> None:
    assert empty_variables(tmp_path / "docker-compose.yml", tmp_path / ".env") == []


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"\xff$TOKEN\xfe ${OTHER}")
    (tmp_path / "e").write_bytes(b"\xff\nTOKEN=\xff\n")
    assert empty_variables(tmp_path / "c", tmp_path / "e") == ["OTHER"]
