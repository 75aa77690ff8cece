import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import blocks, page, section
from tests.service.terminal import answer_on_terminal
from tests.support.service import Client, running_service, sample_place
from tests.support.tars import check_sums, extract
from tests.support.trees import Tree, describe, differences

PASSPHRASE = "Grüße, correct horse"
COMPONENTS = ["vault", "identity", "web", "access", "credentials", "rest"]
SOCKET = "data/services/mail/outbox/control.sock"

Job = dict[str, Any]


@pytest.fixture(scope="module")
def service() -> Iterator[Client]:
    """Give a service with the embedded server and without an engine."""
    with sample_place() as place:
        os.mknod(place.cell / SOCKET, stat.S_IFSOCK | 0o600)
        with running_service(place) as client:
            yield client


@pytest.fixture(scope="module")
def plain(service: Client) -> Job:
    return service.backup(label="before the update", services=[])


@pytest.fixture(scope="module")
def locked(service: Client) -> Job:
    return service.backup(passphrase=PASSPHRASE, services=[])


def archive_of(service: Client, job: Job) -> Path:
    return service.place.backups / str(job["result"]["file_name"])


def unzipped(path: Path) -> bytes:
    """Unpack by gzip itself, which wants a whole file with a sound checksum."""
    return subprocess.run(["gzip", "--decompress", "--stdout", path], check=True, capture_output=True).stdout


def what_the_layout_keeps(cell: Path) -> Tree:
    """Describe the cell without what the default layout leaves out."""
    kept = {}
    for path, facts in describe(cell).items():
        parts = path.split(b"/")
        out = {b"logs", b"config_backups"} & set(parts) or path.endswith(b".log")
        top = parts[0] in {b"config", b"data", b".env", b"Makefile", b"docker-compose.yml"}
        if top and not out and path != os.fsencode(SOCKET):
            kept[path] = facts
    return kept


def without_our_own_members(folder: Path) -> Tree:
    return {
        path: facts for path, facts in describe(folder).items() if path != b"." and not path.startswith(b".cell-backup")
    }


def without_folders(tree: Tree) -> Tree:
    return {path: facts for path, facts in tree.items() if facts.kind != stat.S_IFDIR}


def check_like_coreutils(archive: Path, folder: Path) -> list[bytes]:
    """Extract with GNU tar, check with sha256sum; give one line a file."""
    extract(unzipped(archive), folder)
    return check_sums((folder / ".cell-backup/SHA256SUMS").read_bytes(), folder)


def test_an_empty_body_gives_a_plain_archive_of_everything(service: Client) -> None:
    job = service.backup()
    assert job["kind"] == "backup"
    assert job["error"] is None
    assert job["progress"]["percent"] == 100
    assert job["result"]["file_name"] == f"{job['backup_id']}.tar.gz"
    assert re.fullmatch(r"backup-\d{8}-\d{6}-[0-9a-f]{6}", job["backup_id"])
    assert [part["name"] for part in job["components"] if part["kind"] == "component"] == COMPONENTS
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]


def test_volumes_are_skipped_loudly_where_no_engine_is(service: Client) -> None:
    job = service.backup()
    assert job["state"] == "partial"
    volumes = {part["service"]: part for part in job["components"] if part["kind"] == "volume"}
    assert volumes.keys() == {"mail", "calendar"}
    for part in volumes.values():
        assert (part["outcome"], part["error"]["code"]) == ("skipped", "engine_unreachable")
        assert str(service.place.home / "no-engine") in part["error"]["message"]
    assert service.verify(job["backup_id"])["state"] == "succeeded"


def test_the_answer_says_where_to_follow_the_job(service: Client) -> None:
    answer = service.ask("POST", "/api/config/backup", expect=202, json={"services": []})
    assert answer.headers["location"] == answer.json()["status_url"] == f"/api/jobs/{answer.json()['job_id']}"
    assert service.wait_for(answer.json()["job_id"])["backup_id"] == answer.json()["backup_id"]


def test_chosen_components_are_saved_and_no_others(service: Client) -> None:
    job = service.backup(components=["vault", "access"], services=[])
    assert [part["name"] for part in job["components"]] == ["vault", "access"]
    assert job["state"] == "succeeded"
    contents = service.get(f"/api/config/backups/{job['backup_id']}/contents")["members"]
    roots = {member["path"].split("/")[1] for member in contents if member["path"].startswith("data/")}
    assert roots - {""} == {"vault", "connectivity", "connectivity_state.json", "auth", "auth_users.json", "ddns"}


def test_chosen_services_are_saved_and_no_others(service: Client) -> None:
    job = service.backup(components=["vault"], services=["mail"])
    assert [(part["kind"], part["service"]) for part in job["components"]] == [("component", None), ("volume", "mail")]


def test_progress_is_seen_while_the_job_runs_and_never_goes_back(service: Client) -> None:
    big = service.place.cell / "data/big"
    with big.open("xb") as file:
        file.truncate(1 << 30)
    try:
        accepted = service.start_backup(components=["rest"], services=[])
        seen = list(service.follow(accepted["job_id"]))
    finally:
        big.unlink()
    running = [job for job in seen if job["state"] == "running"]
    percents = [job["progress"]["percent"] for job in seen]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert any(0 < job["progress"]["percent"] < 100 for job in running)
    assert any(job["progress"]["current"] == "rest" and job["stage"] == "components" for job in running)
    assert any(job["progress"]["rate"] for job in running)
    assert seen[-1]["progress"]["bytes_done"] == seen[-1]["progress"]["bytes_total"] > 1 << 30
    service.ask("DELETE", f"/api/config/backups/{accepted['backup_id']}", expect=204)


def test_the_catalog_lists_and_shows_what_was_made(service: Client, plain: Job, locked: Job) -> None:
    listed = {entry["backup_id"]: entry for entry in service.get("/api/config/backups")["backups"]}
    entry = service.get(f"/api/config/backups/{plain['backup_id']}")
    assert entry == listed[plain["backup_id"]]
    assert (entry["label"], entry["encrypted"], entry["outcome"]) == ("before the update", False, "succeeded")
    assert (entry["cell_name"], entry["domain"]) == ("home", "home.cell")
    assert [part["name"] for part in entry["parts"]] == COMPONENTS
    assert listed[locked["backup_id"]]["encrypted"] is True
    assert archive_of(service, locked).name.endswith(".tar.gz.age")


@pytest.mark.parametrize("which", ["plain", "locked"])
def test_a_download_is_the_file_and_its_digest_stands_in_the_sidecar(
    service: Client, which: str, request: pytest.FixtureRequest
) -> None:
    job: Job = request.getfixturevalue(which)
    archive = archive_of(service, job)
    whole = service.ask("GET", f"/api/config/backups/{job['backup_id']}/download").content
    sidecar = json.loads((service.place.backups / f"{job['backup_id']}.json").read_bytes())
    assert whole == archive.read_bytes()
    assert hashlib.sha256(whole).hexdigest() == sidecar["sha256"] == job["result"]["sha256"]
    assert len(whole) == sidecar["size"] == job["result"]["size"]


def test_a_download_in_ranges_gives_the_same_bytes(service: Client, plain: Job) -> None:
    address, size = f"/api/config/backups/{plain['backup_id']}/download", plain["result"]["size"]
    middle = size // 2
    first = service.ask("GET", address, expect=206, headers={"Range": f"bytes=0-{middle - 1}"})
    second = service.ask("GET", address, expect=206, headers={"Range": f"bytes={middle}-"})
    last = service.ask("GET", address, expect=206, headers={"Range": "bytes=-10"})
    assert first.headers["content-range"] == f"bytes 0-{middle - 1}/{size}"
    assert first.content + second.content == archive_of(service, plain).read_bytes()
    assert last.content == archive_of(service, plain).read_bytes()[-10:]
    refused = service.ask("GET", address, expect=416, headers={"Range": f"bytes={size}-"})
    assert refused.json()["code"] == "range_not_satisfiable"


def test_contents_are_listed_and_need_the_passphrase_of_an_encrypted_archive(
    service: Client, plain: Job, locked: Job
) -> None:
    names = [member["path"] for member in service.get(f"/api/config/backups/{plain['backup_id']}/contents")["members"]]
    assert names[0] == ".cell-backup/header.json"
    assert names[-2:] == [".cell-backup/SHA256SUMS", ".cell-backup/manifest.json"]
    assert "data/notes/Grüße an alle.txt" in names
    address = f"/api/config/backups/{locked['backup_id']}/contents"
    assert service.ask("GET", address, expect=422).json()["code"] == "passphrase_required"
    assert service.ask("POST", address, expect=422, json={"passphrase": "x"}).json()["code"] == "passphrase_wrong"
    opened = service.ask("POST", address, json={"passphrase": PASSPHRASE}).json()["members"]
    assert [member["path"] for member in opened] == names


def test_a_verify_job_proves_the_archive_and_marks_it(service: Client, plain: Job, locked: Job) -> None:
    for job, unlocking in ((plain, {}), (locked, {"passphrase": PASSPHRASE})):
        done = service.verify(job["backup_id"], **unlocking)
        assert (done["state"], done["kind"]) == ("succeeded", "verify")
        assert done["result"]["files"] == job["result"]["files"]
        assert service.get(f"/api/config/backups/{job['backup_id']}")["verified"]["ok"] is True


def test_a_verify_job_finds_one_changed_byte(service: Client) -> None:
    job = service.backup(components=["vault"], services=[])
    archive = archive_of(service, job)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    done = service.verify(job["backup_id"])
    assert (done["state"], done["error"]["code"]) == ("failed", "archive_damaged")
    assert service.get(f"/api/config/backups/{job['backup_id']}")["verified"]["ok"] is False


def test_a_deleted_backup_leaves_no_file(service: Client) -> None:
    job = service.backup(components=["vault"], services=[])
    address = f"/api/config/backups/{job['backup_id']}"
    service.ask("DELETE", address, expect=204)
    assert service.ask("GET", address, expect=404).json()["code"] == "backup_not_found"
    assert not [name for name in service.place.archives() if job["backup_id"] in name]


def test_files_and_directories_are_the_owners_alone(service: Client, plain: Job, locked: Job) -> None:
    assert plain["state"] == locked["state"] == "succeeded"
    for folder in (service.place.backups, service.place.state):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for path in folder.rglob("*"):
            wanted = 0o700 if path.is_dir() or path.is_socket() else 0o600
            assert stat.S_IMODE(path.lstat().st_mode) == wanted, path


def test_nothing_unfinished_stays_beside_the_archives(service: Client, plain: Job, locked: Job) -> None:
    assert plain["state"] == locked["state"] == "succeeded"
    assert all(name.endswith((".tar.gz", ".tar.gz.age", ".json")) for name in service.place.archives())
    assert not [name for name in service.place.archives() if name.startswith(".")]


def test_tar_and_sha256sum_agree_with_a_plain_archive(service: Client, plain: Job, tmp_path: Path) -> None:
    archive = archive_of(service, plain)
    listed = subprocess.run(["tar", "-tzf", archive], check=True, capture_output=True)
    assert listed.stderr == b""
    assert listed.stdout.splitlines()[0] == b".cell-backup/header.json"
    checked = check_like_coreutils(archive, tmp_path)
    assert len(checked) == plain["result"]["files"]
    assert all(line.endswith(b": OK") for line in checked)


def test_gnu_tar_brings_back_the_cell_as_it_was(service: Client, plain: Job, tmp_path: Path) -> None:
    extract(unzipped(archive_of(service, plain)), tmp_path)
    kept, found = what_the_layout_keeps(service.place.cell), without_our_own_members(tmp_path)
    assert differences(without_folders(kept), without_folders(found), ignoring=["map"]) == []
    assert differences(kept, found, ignoring=["map", "mtime"]) == []
    assert len(kept) > 50
    hard_link, symlink = tmp_path / "data/caddy/internal.crt", tmp_path / "config/caddy/current"
    assert hard_link.samefile(tmp_path / "data/vault/certs/home.cell.crt")
    assert symlink.readlink() == Path("Caddyfile")


def test_a_socket_that_cannot_be_kept_is_named_in_a_warning(plain: Job) -> None:
    warnings = [warning for part in plain["components"] for warning in part["warnings"]]
    assert [warning for warning in warnings if SOCKET in warning and "a socket" in warning]
    assert plain["state"] == "succeeded"


def test_the_command_line_opens_an_encrypted_archive_without_the_service(
    service: Client, locked: Job, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSPHRASE + "\n", encoding="utf-8")
    archive = tmp_path / archive_of(service, locked).name
    archive.write_bytes(archive_of(service, locked).read_bytes())
    proven = service.place.cli("verify", archive, "--passphrase-file", secret)
    assert (proven.returncode, proven.stderr) == (0, b"")
    opened = service.place.cli("decrypt", archive, "--passphrase-file", secret)
    assert opened.returncode == 0, opened.stderr
    plain_archive = archive.with_suffix("")
    assert opened.stdout.decode().strip() == str(plain_archive)
    assert stat.S_IMODE(plain_archive.stat().st_mode) == 0o600
    assert len(check_like_coreutils(plain_archive, tmp_path / "tree")) == locked["result"]["files"]


def python_in_docs() -> str:
    """Give the block of Python below the heading that speaks of opening an encrypted archive."""
    (script,) = blocks(section(page("format.md"), "Opening an encrypted archive"), "python")
    return script


def test_the_twenty_lines_of_the_documentation_open_an_encrypted_archive(
    service: Client, locked: Job, tmp_path: Path
) -> None:
    script = tmp_path / "open.py"
    script.write_text(python_in_docs(), encoding="utf-8")
    assert len(script.read_text().strip().splitlines()) <= 20
    environment = {key: value for key, value in service.place.environment().items() if key != "PYTHONPATH"}
    command: list[str | Path] = [sys.executable, script, archive_of(service, locked)]
    session = answer_on_terminal(command, PASSPHRASE, environment=environment, directory=tmp_path)
    assert session.code == 0, session.screen
    assert PASSPHRASE not in session.screen
    plain_archive = tmp_path / "opened.tar.gz"
    plain_archive.write_bytes(session.output)
    assert len(check_like_coreutils(plain_archive, tmp_path / "tree")) == locked["result"]["files"]


def test_the_twenty_lines_refuse_a_wrong_passphrase(service: Client, locked: Job, tmp_path: Path) -> None:
    script = tmp_path / "open.py"
    script.write_text(python_in_docs(), encoding="utf-8")
    command: list[str | Path] = [sys.executable, script, archive_of(service, locked)]
    environment = service.place.environment()
    session = answer_on_terminal(command, "wrong", environment=environment, directory=tmp_path)
    assert session.code != 0
    assert session.output == b""
