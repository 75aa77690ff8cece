"""The real service by itself: a time that was missed is made up for, encrypted, pruned after; an upload comes back."""

import base64
import hashlib
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.scheduling.schedule_file import ScheduleFile
from app.scheduling.schedules import Schedule
from app.settings import Settings
from tests.support.service import Client, Place, running_service
from tests.support.waiting import eventually

PASSPHRASE = "a-passphrase-that-is-only-in-its-file"


def passphrase_in(folder: Path) -> Path:
    path = folder / "passphrase"
    path.write_text(PASSPHRASE)
    path.chmod(0o600)
    return path


def prunes(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/jobs", params={"kind": "prune"})["jobs"]
    return found


def test_a_missed_night_is_made_up_for_encrypted_and_retention_follows(place: Place) -> None:
    file = ScheduleFile(Settings(cell_root=place.cell, state_dir=place.state))
    schedule = Schedule("nightly", "0 3 * * *", services=(), passphrase_file=passphrase_in(place.home))
    with running_service(place, keep_last=1) as client:
        first = client.backup(services=[])
        assert first["state"] == "succeeded", first
        file.add(schedule, datetime.now(UTC) - timedelta(days=3))
        eventually(lambda: bool(prunes(client)), what="retention follows a scheduled backup")
        pruned = client.wait_for(prunes(client)[0]["job_id"])
        assert pruned["state"] == "succeeded", pruned
        assert pruned["result"]["removed"] == [first["backup_id"]]
        (entry,) = client.get("/api/config/backups")["backups"]
        assert entry["encrypted"]
        last = client.get("/api/schedules/nightly")["last_result"]
        assert (last["outcome"], last["missed"]) == ("started", 2)
        assert client.job(last["job_id"])["asked_by"] == "schedule nightly"
        assert client.verify(entry["backup_id"], passphrase=PASSPHRASE)["state"] == "succeeded"
        assert len(prunes(client)) == 1
    for path in place.home.rglob("*"):
        if path.is_file() and path.name != "passphrase":
            assert PASSPHRASE.encode() not in path.read_bytes(), path


def test_an_archive_that_was_removed_is_uploaded_again_and_verifies(place: Place) -> None:
    with running_service(place) as client:
        backup_id = client.backup(passphrase=PASSPHRASE)["backup_id"]
        address = f"/api/config/backups/{backup_id}"
        content = client.ask("GET", f"{address}/download").content
        client.ask("DELETE", address, expect=204)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers = {"Content-Digest": f"sha-256=:{digest}:"}
        uploaded = client.ask("PUT", address, expect=201, content=content, headers=headers).json()
        assert (uploaded["size"], uploaded["encrypted"], uploaded["verified"]) == (len(content), True, None)
        assert client.verify(backup_id, passphrase=PASSPHRASE)["state"] == "succeeded"
        (path,) = place.backups.glob("*.age")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
