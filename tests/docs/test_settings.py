import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from app.client.place import ClientSettings
from app.settings import Settings, load_settings
from tests.docs.pages import literals, page, tables
from tests.support.service import PROJECT

PAGE = page("settings.md")
SERVICE, CLIENT = tables(PAGE)
BOTH = [(Settings, row) for row in SERVICE] + [(ClientSettings, row) for row in CLIENT]
IN_A_FILE = "in a file of `/run/secrets/`"
every_row = pytest.mark.parametrize(
    ("settings", "row"),
    BOTH,
    ids=lambda value: literals(value["setting"])[0].lower() if isinstance(value, Mapping) else "",
)

Row = Mapping[str, str]


def field_of(row: Row) -> str:
    (name,) = literals(row["setting"])
    return name.lower()


def value(settings: type[BaseSettings], field: str, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give what a setting is where the environment has this text for it."""
    monkeypatch.setenv(f"CELL_BACKUP_{field.upper()}", text)
    found = getattr(settings(_env_file=None), field)
    return found.get_secret_value() if isinstance(found, SecretStr) else found


@pytest.mark.parametrize(("settings", "rows"), [(Settings, SERVICE), (ClientSettings, CLIENT)])
def test_the_page_has_every_setting_once_and_no_other(settings: type[BaseSettings], rows: list[Row]) -> None:
    assert sorted(field_of(row) for row in rows) == sorted(settings.model_fields)


@every_row
def test_a_default_is_that_of_the_service(
    settings: type[BaseSettings], row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)  # the default of STATE_DIR is root's
    field = field_of(row)
    default = settings.model_fields[field].get_default(call_default_factory=True)
    if row["default"].startswith("unset: "):
        assert not default
    else:
        (text,) = literals(row["default"])
        assert value(settings, field, text, monkeypatch) == default


@every_row
def test_an_example_is_accepted_and_is_not_the_default(
    settings: type[BaseSettings], row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = field_of(row)
    default = settings.model_fields[field].get_default(call_default_factory=True)
    if row["example"] != IN_A_FILE:
        (text,) = literals(row["example"])
        assert value(settings, field, text, monkeypatch) not in (None, default)
    else:
        assert "SecretStr" in str(settings.model_fields[field].annotation)


def read(dotenv: Path | None, secrets: Path) -> Any:
    """Read the settings out of these places and the environment."""
    settings: type[BaseSettings] = Settings
    return settings(_env_file=dotenv, _secrets_dir=secrets)


def test_a_secret_can_come_in_a_file_named_as_the_page_says(tmp_path: Path) -> None:
    assert "`/run/secrets/cell_backup_api_token`" in PAGE
    (tmp_path / "cell_backup_api_token").write_text("out of a file\n", encoding="utf-8")
    assert read(None, tmp_path).api_token.get_secret_value() == "out of a file"


def test_the_environment_comes_before_dotenv_and_that_before_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv = tmp_path / ".env"
    (tmp_path / "cell_backup_port").write_text("1", encoding="utf-8")
    dotenv.write_text("CELL_BACKUP_PORT=2\n", encoding="utf-8")
    assert read(None, tmp_path).port == 1
    assert read(dotenv, tmp_path).port == 2
    monkeypatch.setenv("CELL_BACKUP_PORT", "3")
    assert read(dotenv, tmp_path).port == 3


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELL_BACKUP_PORT", "")
    assert load_settings().port == 8300


def test_every_choice_stands_in_the_page() -> None:
    for row in SERVICE:
        schema = Settings.model_json_schema()["properties"][field_of(row)]
        missing = [choice for choice in schema.get("enum", []) if f"`{choice}`" not in json.dumps(row)]
        assert missing == [], row["setting"]


def test_the_page_has_every_variable_of_the_composed_stack() -> None:
    files = (PROJECT / "docker-compose.yml", PROJECT / "deploy/cell-network.yml")
    used = {name for file in files for name in re.findall(r"\$\{([A-Z_]+)", file.read_text(encoding="utf-8"))}
    own = {name for name in used if not name.startswith("CELL_BACKUP_")}
    assert own
    assert own - set(literals(PAGE.partition("## Without the prefix")[2])) == set()
