"""The file of schedules: what is wanted, what was done, and the schedule of the settings."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import Code, InputError
from app.scheduling.firing import read_passphrase
from app.scheduling.schedule_file import DEFAULT, ScheduleFile
from app.scheduling.schedules import LastResult, Outcome, Overlap, Schedule, ScheduleKind
from app.settings import Settings

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
FULL = Schedule(
    "nightly",
    "30 2 * * *",
    timezone="Europe/Berlin",
    kind=ScheduleKind.VERIFY,
    jitter=600,
    catch_up=False,
    overlap=Overlap.QUEUE,
    components=("vault",),
    services=(),
    label="of the night",
    passphrase_file=Path("/etc/passphrase"),
    enabled=False,
)


def settings_of(state_dir: Path, **values: Any) -> Settings:
    return Settings(cell_root=state_dir / "cell", state_dir=state_dir / "state", **values)


@pytest.fixture
def file(tmp_path: Path) -> ScheduleFile:
    return ScheduleFile(settings_of(tmp_path))


def code_of(caught: pytest.ExceptionInfo[InputError]) -> Code:
    return caught.value.code


def test_there_are_none_at_first(file: ScheduleFile) -> None:
    assert file.read() == []


def test_a_schedule_is_kept_with_all_that_it_says(file: ScheduleFile, tmp_path: Path) -> None:
    kept = file.add(FULL, NOW)
    assert (kept.schedule, kept.since, kept.last) == (FULL, NOW, None)
    assert ScheduleFile(settings_of(tmp_path)).read() == [kept]
    assert file.get("nightly") == kept
    assert (tmp_path / "state/schedules.json").stat().st_mode & 0o777 == 0o600


def test_names_are_taken_once(file: ScheduleFile) -> None:
    file.add(FULL, NOW)
    with pytest.raises(InputError) as caught:
        file.add(replace(FULL, cron="0 0 * * *"), NOW)
    assert code_of(caught) is Code.SCHEDULE_NAME_TAKEN
    assert file.get("nightly").schedule == FULL


def test_what_is_not_there_is_not_found(file: ScheduleFile) -> None:
    for call in (file.get, file.remove, lambda name: file.change(replace(FULL, name=name), NOW)):
        with pytest.raises(InputError) as caught:
            call("nightly")
        assert code_of(caught) is Code.SCHEDULE_NOT_FOUND


def test_a_change_counts_from_now_on_and_keeps_what_came_of_the_last_time(file: ScheduleFile) -> None:
    file.add(FULL, NOW)
    last = LastResult(NOW, Outcome.STARTED, NOW, job_id="1" * 32)
    file.note("nightly", last=last)
    changed = file.change(replace(FULL, cron="0 0 * * *"), LATER)
    assert (changed.schedule.cron, changed.since, changed.last) == ("0 0 * * *", LATER, last)
    assert file.read() == [changed]


def test_what_was_done_is_noted_field_by_field(file: ScheduleFile) -> None:
    file.add(FULL, NOW)
    file.note("nightly", since=LATER)
    file.note("nightly", pruned_after="2" * 32)
    kept = file.get("nightly")
    assert (kept.since, kept.last, kept.pruned_after) == (LATER, None, "2" * 32)
    file.remove("nightly")
    file.note("nightly", since=LATER)
    assert file.read() == []


@pytest.mark.parametrize(
    "content", ["", "{", "{}", '[{"schedule": {"name": "a", "cron": "never"}, "since": "2026-11-23T00:00:00Z"}]']
)
def test_a_file_that_is_broken_is_said_and_left_as_it_is(file: ScheduleFile, tmp_path: Path, content: str) -> None:
    file.add(FULL, NOW)
    path = tmp_path / "state/schedules.json"
    path.write_text(content)
    for call in (file.read, lambda: file.add(replace(FULL, name="b"), NOW), lambda: file.note("a", since=NOW)):
        with pytest.raises(InputError) as caught:
            call()
        assert code_of(caught) is Code.INVALID_SETTING
    assert path.read_text() == content


class TestOfTheSettings:
    def test_a_cron_line_makes_a_schedule_that_follows_it(self, tmp_path: Path) -> None:
        for now, cron in ((NOW, "0 3 * * *"), (LATER, "0 4 * * *")):
            file = ScheduleFile(settings_of(tmp_path, schedule=cron, timezone="Europe/Berlin"))
            file.follow_settings(now)
            file.follow_settings(LATER + timedelta(hours=1))
            (kept,) = file.read()
            assert (kept.schedule.name, kept.schedule.cron, kept.schedule.source) == (DEFAULT, cron, "settings")
            assert (kept.schedule.timezone, kept.since) == ("Europe/Berlin", now)
        ScheduleFile(settings_of(tmp_path)).follow_settings(LATER)
        assert file.read() == []

    def test_one_that_somebody_changed_stays_as_it_is(self, tmp_path: Path) -> None:
        file = ScheduleFile(settings_of(tmp_path, schedule="0 3 * * *"))
        file.follow_settings(NOW)
        mine = file.change(Schedule(DEFAULT, "0 5 * * *"), NOW)
        file.follow_settings(LATER)
        ScheduleFile(settings_of(tmp_path)).follow_settings(LATER)
        assert file.read() == [mine]

    @pytest.mark.parametrize("name", ["CELL_BACKUP_SCHEDULE", "CELL_BACKUP_TIMEZONE"])
    def test_what_cannot_be_read_is_said_at_the_start(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        from app.settings import load_settings

        monkeypatch.setenv(name, "every now and then")
        with pytest.raises(InputError) as caught:
            load_settings()
        assert code_of(caught) is Code.INVALID_SETTING
        assert name in caught.value.message


class TestPassphraseFile:
    def make(self, tmp_path: Path, content: bytes = b"correct horse\n", mode: int = 0o600) -> Path:
        path = tmp_path / "passphrase"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    @pytest.mark.parametrize("content", [b"correct horse", b"correct horse\n", b"correct horse\r\nmore\n"])
    def test_its_first_line_is_the_passphrase(self, tmp_path: Path, content: bytes) -> None:
        assert read_passphrase(self.make(tmp_path, content)) == "correct horse"

    @pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n", b"x" * 1025])
    def test_what_is_no_passphrase_is_refused_and_not_shown(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(InputError) as caught:
            read_passphrase(self.make(tmp_path, content))
        assert code_of(caught) is Code.PASSPHRASE_REQUIRED
        assert "xxx" not in caught.value.message

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
    def test_a_file_that_others_can_get_at_is_refused(self, tmp_path: Path, mode: int) -> None:
        with pytest.raises(InputError) as caught:
            read_passphrase(self.make(tmp_path, mode=mode))
        assert code_of(caught) is Code.PASSPHRASE_REQUIRED
        assert "0600" in caught.value.message

    def test_neither_a_link_nor_a_folder_nor_nothing_is_taken(self, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(self.make(tmp_path))
        for path in (link, tmp_path, tmp_path / "missing"):
            with pytest.raises(InputError) as caught:
                read_passphrase(path)
            assert code_of(caught) is Code.PASSPHRASE_REQUIRED


def test_the_file_is_json_that_people_can_read(file: ScheduleFile, tmp_path: Path) -> None:
    file.add(FULL, NOW)
    (kept,) = json.loads((tmp_path / "state/schedules.json").read_text())
    assert (kept["schedule"]["name"], kept["schedule"]["cron"]) == ("nightly", "30 2 * * *")
