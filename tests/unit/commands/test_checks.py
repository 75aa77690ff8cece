"""What the doctor makes of this machine."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.commands.checks import Finding, Health, clock, kernel_state, local_findings
from app.settings import Settings

NOW = datetime(2026, 11, 23, tzinfo=UTC).timestamp()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "cell/config").mkdir(parents=True)
    return Settings(cell_root=tmp_path / "cell", state_dir=tmp_path / "state")


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in local_findings(settings)}


def of_clock(findings: Iterator[Finding]) -> dict[str, Health]:
    return {finding.name: finding.health for finding in findings}


def test_a_new_machine_is_well(settings: Settings) -> None:
    health = {name: finding.health for name, finding in found(settings).items() if "clock" not in name}
    assert set(health.values()) == {Health.OK}
    assert not settings.state_dir.exists()
    assert not settings.archives_dir.exists()


def test_a_cell_that_is_not_there_fails_and_says_what_helps(settings: Settings) -> None:
    (settings.cell_root / "config").rmdir()
    finding = found(settings)["cell_root"]
    assert (finding.health, "CELL_BACKUP_CELL_ROOT" in finding.cure) == (Health.FAIL, True)


@pytest.mark.parametrize("name", ["backup_dir", "state_dir"])
def test_a_folder_that_others_can_look_into_is_named(settings: Settings, name: str) -> None:
    path = settings.archives_dir if name == "backup_dir" else settings.state_dir
    path.mkdir(mode=0o755)
    finding = found(settings)[name]
    assert (finding.health, finding.cure) == (Health.WARN, f"chmod 700 {path}")


def test_a_folder_that_is_a_file_fails(settings: Settings) -> None:
    settings.state_dir.write_text("")
    assert found(settings)["state_dir"].health is Health.FAIL


def test_a_token_that_others_can_read_fails(settings: Settings) -> None:
    settings.state_dir.mkdir(mode=0o700)
    path = settings.state_dir / "api-token"
    path.write_text("x")
    path.chmod(0o644)
    finding = found(settings)["token"]
    assert (finding.health, finding.cure) == (Health.FAIL, f"chmod 600 {path}")
    path.chmod(0o600)
    assert found(settings)["token"].health is Health.OK


@pytest.mark.parametrize(("free", "health"), [(99, Health.FAIL), (200, Health.WARN), (300, Health.OK)])
def test_space_is_held_against_the_last_archive(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, health: Health
) -> None:
    with LocalStore(settings.archives_dir).create("a", encrypted=False) as archive:
        archive.write(b"x" * 100)
        archive.publish(Entry("a", "", encrypted=False, size=0, created_at=datetime.now(UTC)))
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 0, free))
    assert found(settings)["space"].health is health


@pytest.mark.parametrize(("year", "health"), [(1970, Health.FAIL), (2026, Health.OK), (2106, Health.FAIL)])
def test_a_year_that_cannot_be_fails(year: int, health: Health) -> None:
    now = datetime(year, 6, 1, tzinfo=UTC).timestamp()
    assert of_clock(clock({"TZ": "UTC"}, now, 0))["clock"] is health


def test_a_clock_that_nobody_keeps_right_is_a_warning() -> None:
    assert of_clock(clock({}, NOW, 5))["clock"] is Health.WARN
    assert of_clock(clock({}, NOW, None))["clock"] is Health.OK


def test_a_time_zone_is_named() -> None:
    assert of_clock(clock({"TZ": "Europe/Berlin"}, NOW, 0))["time_zone"] is Health.OK


def test_the_kernel_answers_or_may_not_be_asked() -> None:
    assert kernel_state() in {None, *range(6)}
