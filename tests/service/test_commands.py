"""The command line against a running service, in pipes and on a terminal: words, JSON, exit codes."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.commands import PASSPHRASE, Caller, calling
from tests.support.trees import describe, differences

SEEN_BAR = re.compile(r"\d+%")


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with calling() as made:
        yield made
        token = (made.place.state / "api-token").read_text().strip()
        assert token
        for said in made.said:
            assert token not in said
            assert PASSPHRASE not in said


@pytest.fixture(scope="module")
def plain(caller: Caller) -> str:
    return caller.backup("--label", "before the update")


@pytest.fixture(scope="module")
def locked(caller: Caller) -> str:
    return caller.backup("--passphrase-file", caller.secret())


def test_a_backup_says_how_far_it_is_and_what_it_is_called(caller: Caller) -> None:
    done = caller("backup", "--services", "")
    *parts, state, backup_id = done.stdout.decode().splitlines()
    assert "vault: succeeded, 7 files, 2.3 kB" in parts
    assert state == "succeeded"
    assert caller.service.get(f"/api/config/backups/{backup_id}")["outcome"] == "succeeded"
    job, *told = done.stderr.decode().splitlines()
    assert re.fullmatch(r"job [0-9a-f]{32}", job)
    stages = [line.split()[-1] for line in told]
    assert set(stages) <= {"plan", "components", "volumes", "close", "publish"}
    assert "\x1b" not in done.stderr.decode()


def test_a_backup_that_lacks_something_ends_with_3_and_names_it(caller: Caller) -> None:
    lines = caller.lines("backup", expect=3)
    assert [line for line in lines if line.startswith("mail/mailboxes: skipped: ")]
    assert "partial" in lines


def test_json_is_the_job_alone(caller: Caller) -> None:
    done = caller("backup", "--services", "", "--components", "vault,web", "--label", "Ä", "--json")
    job = json.loads(done.stdout)
    assert (job["kind"], job["state"], done.stderr) == ("backup", "succeeded", b"")
    assert [part["name"] for part in job["components"]] == ["vault", "web"]
    assert caller.service.get(f"/api/config/backups/{job['backup_id']}")["label"] == "Ä"


def test_a_terminal_has_a_bar_and_is_asked_twice(caller: Caller) -> None:
    words = ("backup", "--services", "", "--passphrase-prompt")
    session = caller.on_terminal(*words, answers=[PASSPHRASE, PASSPHRASE])
    assert session.code == 0, session
    assert SEEN_BAR.search(session.screen)
    assert "New passphrase again: " in session.screen
    backup_id = session.output.decode().splitlines()[-1]
    proven = caller.service.verify(backup_id, passphrase=PASSPHRASE)
    assert proven["state"] == "succeeded"


def test_two_different_passphrases_start_nothing(caller: Caller) -> None:
    before = caller.service.get("/api/jobs")["total"]
    session = caller.on_terminal("backup", "--passphrase-prompt", answers=["one", "two"])
    assert session.code == 1
    assert "[passphrase_wrong]" in session.screen
    assert caller.service.get("/api/jobs")["total"] == before


def test_a_passphrase_comes_through_a_descriptor(caller: Caller) -> None:
    reading, writing = os.pipe()
    os.write(writing, f"{PASSPHRASE}\nnot this".encode())
    os.close(writing)
    try:
        job = caller.json("backup", "--services", "", "--passphrase-fd", str(reading), fds=[reading])
    finally:
        os.close(reading)
    assert caller.service.verify(job["backup_id"], passphrase=PASSPHRASE)["state"] == "succeeded"


@pytest.mark.parametrize("option", ["--passphrase", "--pass", "--token"])
def test_no_secret_is_taken_as_an_argument(caller: Caller, option: str) -> None:
    assert "unrecognized arguments" in caller.refused("backup", option, "hunter22", expect=2)


def test_an_empty_passphrase_starts_nothing(caller: Caller) -> None:
    assert "[passphrase_required]" in caller.refused("backup", "--passphrase-file", "/dev/null", expect=1)


def test_backups_are_listed_and_shown(caller: Caller, plain: str, locked: str) -> None:
    header, *rows = caller.lines("list")
    assert header.split()[:2] == ["ID", "CREATED"]
    assert [row for row in rows if row.startswith(plain) and row.endswith("before the update")]
    told = caller.json("list")
    assert told["total"] == len(told["backups"]) == len(rows)
    shown = caller.lines("show", locked)
    assert "encrypted  yes" in shown
    assert caller.json("show", plain) == caller.service.get(f"/api/config/backups/{plain}")


def test_backups_are_verified(caller: Caller, plain: str, locked: str) -> None:
    assert caller.lines("verify", plain) == ["succeeded"]
    assert caller.json("verify", locked, "--passphrase-file", caller.secret())["state"] == "succeeded"
    assert "[passphrase_required]" in caller.refused("verify", locked, expect=1)
    assert "[passphrase_wrong]" in caller.refused("verify", locked, "--passphrase-file", caller.secret("no"))
    session = caller.on_terminal("verify", locked, answers=[PASSPHRASE])
    assert session.code == 0, session


def test_a_damaged_backup_ends_with_1(caller: Caller) -> None:
    backup_id = caller.backup("--components", "vault")
    archive = caller.place.backups / f"{backup_id}.tar.gz"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    lines = caller.lines("verify", backup_id, expect=1)
    assert [line for line in lines if line.endswith("[archive_damaged]")]


def test_contents_are_the_same_by_id_and_in_a_file(caller: Caller, plain: str, locked: str) -> None:
    secret = caller.secret()
    by_id = caller.json("contents", locked, "--passphrase-file", secret, "--prefix", "data/vault/")
    file = caller.place.backups / f"{locked}.tar.gz.age"
    assert by_id == caller.json("contents", file, "--passphrase-file", secret, "--prefix", "data/vault/")
    assert "data/vault/vault.key" in [member["path"] for member in by_id["members"]]
    lines = caller.lines("contents", plain)
    assert lines == caller.lines("contents", caller.place.backups / f"{plain}.tar.gz")
    assert [line for line in lines if line.endswith(" data/vault/vault.key")]


def test_a_download_is_the_archive(caller: Caller, plain: str, tmp_path: Path) -> None:
    archive = (caller.place.backups / f"{plain}.tar.gz").read_bytes()
    assert caller.lines("download", plain, "-o", tmp_path / "copy") == [str(tmp_path / "copy")]
    assert (tmp_path / "copy").read_bytes() == archive
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert caller("download", plain, "-o", "-").stdout == archive
    assert "exists" in caller.refused("download", plain, "-o", tmp_path / "copy", expect=1)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_an_archive_is_uploaded_and_deleted(caller: Caller, locked: str) -> None:
    archive = caller.place.backups / f"{locked}.tar.gz.age"
    assert "[backup_exists]" in caller.refused("upload", archive)
    taken = caller.json("upload", archive, "--id", "from-elsewhere")
    assert (taken["backup_id"], taken["encrypted"], taken["described"]) == ("from-elsewhere", True, False)
    assert caller.lines("delete", "from-elsewhere") == ["from-elsewhere is removed"]
    assert "[backup_not_found]" in caller.refused("show", "from-elsewhere")


def test_a_foreign_file_is_not_uploaded(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"something else entirely")
    assert "--id" in caller.refused("upload", tmp_path / "x", expect=1)
    assert "[archive_foreign]" in caller.refused("upload", tmp_path / "x", "--id", "x")


def test_a_plan_is_shown_and_a_restore_is_done(caller: Caller, plain: str) -> None:
    key = caller.place.cell / "data/vault/vault.key"
    content = key.read_bytes()
    before = describe(caller.place.cell / "data/vault")
    key.write_bytes(b"changed")
    lines = caller.lines("restore", plain, "--components", "vault", "--services", "", "--dry-run")
    assert "  replace data/vault/vault.key" in lines
    assert key.read_bytes() == b"changed"
    words = ("restore", plain, "--components", "vault", "--services", "", "--regenerate", "off")
    lines = caller.lines(*words)
    assert "succeeded" in lines
    assert [line for line in lines if line.startswith("what was replaced is kept as backup-")]
    assert key.read_bytes() == content
    assert differences(before, describe(caller.place.cell / "data/vault")) == []


def test_what_the_service_does_not_take_ends_with_5(caller: Caller, plain: str) -> None:
    assert "[unknown_component]" in caller.refused("backup", "--components", "vaults")
    assert "[backup_not_found]" in caller.refused("restore", "nothing-like-it")
    assert "[job_finished]" in caller.refused("cancel", caller.json("verify", plain)["job_id"])
    assert "[job_not_found]" in caller.refused("follow", "0" * 32)


def test_jobs_are_listed_and_followed_after_their_end(caller: Caller, plain: str) -> None:
    job_id = caller.lines("verify", plain, "--no-wait")[0]
    assert caller.lines("follow", job_id) == ["succeeded"]
    *_, end = map(json.loads, caller.lines("follow", job_id, "--json"))
    assert (end["event"], end["job_id"], end["state"]) == ("end", job_id, "succeeded")
    assert caller.lines("jobs", "--kind", "verify", "--limit", "1")[1].split()[:3] == [job_id, "verify", "succeeded"]
    assert caller.json("jobs", "--state", "running") == {"jobs": [], "total": 0}


def test_tokens_come_and_go(caller: Caller, tmp_path: Path) -> None:
    (token,) = caller.lines("token", "create", "reader")
    path = tmp_path / "token"
    path.write_text(token + "\n")
    assert caller.lines("list", CELL_BACKUP_TOKEN_FILE=str(path))
    assert "[forbidden]" in caller.refused("backup", CELL_BACKUP_TOKEN_FILE=str(path))
    assert "[token_name_taken]" in caller.refused("token", "create", "reader")
    assert caller.lines("token", "list")[1].split()[:2] == ["reader", "read"]
    rotated = caller.json("token", "rotate", "reader")["token"]
    assert "[unauthorized]" in caller.refused("list", CELL_BACKUP_TOKEN_FILE=str(path))
    path.write_text(rotated)
    assert caller.json("list", CELL_BACKUP_TOKEN_FILE=str(path))["total"]
    assert caller.lines("token", "remove", "reader") == ["reader is removed"]
    assert caller.json("token", "list") == {"tokens": []}


def test_a_token_that_is_not_there_is_said(caller: Caller, tmp_path: Path) -> None:
    said = caller.refused("list", expect=1, CELL_BACKUP_TOKEN_FILE=str(tmp_path / "none"))
    assert "CELL_BACKUP_TOKEN_FILE" in said


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid:8300"])
def test_a_service_that_is_not_there_ends_with_4(caller: Caller, url: str) -> None:
    said = caller.refused("list", "--url", url, expect=4)
    assert "[service_unreachable]" in said
    assert "ssl" not in said


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8300", "ftp://x", "http://", "http://me:hunter22@127.0.0.1:9", "http://x:port", "http://x/?a"]
)
def test_an_address_that_is_none_is_said(caller: Caller, url: str) -> None:
    said = caller.refused("list", "--url", url, expect=1)
    assert "[invalid_setting]" in said
    assert "hunter22" not in said


def test_the_doctor_finds_the_engine_missing_and_the_service_well(caller: Caller) -> None:
    told = caller.json("doctor", expect=3)
    found = {check["name"]: check for check in told["checks"]}
    assert told["health"] == "warn"
    assert found["engine"]["health"] == "warn"
    assert "DOCKER_HOST" in found["engine"]["cure"]
    for name in ("cell_root", "backup_dir", "state_dir", "token", "space", "redis", "service", "ready"):
        assert found[name]["health"] == "ok", found[name]
    assert [line for line in caller.lines("doctor", expect=3) if line.startswith("warn  engine ")]


def test_a_schedule_is_set_changed_run_and_removed(caller: Caller) -> None:
    words = ("schedule", "set", "nightly", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin")
    assert len(caller.lines(*words, "--services", "")) == 5
    changed = caller.json(*words, "--services", "", "--jitter", "60", "--disabled")
    assert (changed["jitter"], changed["enabled"]) == (60, False)
    assert caller.lines("schedule", "list")[1].split()[:2] == ["nightly", "backup"]
    assert caller.json("schedule", "run", "nightly")["state"] == "succeeded"
    assert "[invalid_cron]" in caller.refused("schedule", "set", "odd", "--cron", "never")
    assert caller.lines("schedule", "remove", "nightly") == ["nightly is removed"]
    assert "[schedule_not_found]" in caller.refused("schedule", "run", "nightly")


def test_backups_are_pruned_as_the_rules_say() -> None:
    with calling() as caller:
        assert caller.lines("retention") == ["no rule is set: every backup stays"]
        old, new = caller.backup(), caller.backup()
        held = caller.lines("retention", "--keep-last", "1")
        assert "keep_last    1" in held
        assert held[-1] == "this was set in place of what the settings say; --reset forgets it"
        assert caller.lines("retention") == held
        lines = caller.lines("prune", "--dry-run")
        assert [line.split()[0] for line in lines if " remove  no rule keeps it" in line] == [old]
        assert caller.json("list")["total"] == 2
        assert f"removed {old}" in caller.lines("prune")
        assert [backup["backup_id"] for backup in caller.json("list")["backups"]] == [new]
        caller.refused("retention", "--reset", "--keep-last", "2", expect=2)
        assert caller.lines("retention") == held
        assert caller.lines("retention", "--reset") == ["no rule is set: every backup stays"]
        assert caller.json("retention", "--reset")["source"] == "settings"
