"""The real service in JSON lines: who asks is known by name from the request to the end of the job."""

import json
from typing import Any

import httpx2

from tests.support.service import Client, Place, running_service
from tests.support.waiting import eventually

PASSPHRASE = "a-passphrase-that-is-nowhere-else"


def audit(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/audit")["entries"]
    return found


def test_who_asked_is_told_from_the_request_to_the_end_of_the_job_and_no_secret_is(place: Place) -> None:
    with running_service(place, log_format="json") as admin:
        first = (place.state / "api-token").read_text().strip()
        made = admin.ask("POST", "/api/tokens", expect=201, json={"name": "nightly", "scope": "admin"}).json()["token"]
        with Client(admin.address, made, place) as nightly:
            job = nightly.backup(passphrase=PASSPHRASE)
        refused = httpx2.get(f"{admin.address}/api/jobs", headers={"Authorization": "Bearer a-wrong-guess"})
        assert refused.status_code == 401
        eventually(
            lambda: any(entry["event"] == "job_ended" for entry in audit(admin)), what="the end of the job is told"
        )
        told = {(entry["event"], entry["what"], entry["by"], entry["outcome"]) for entry in audit(admin)}
        assert {
            ("request", "make_token", "bootstrap", "done"),
            ("request", "create_backup", "nightly", "done"),
            ("job_ended", "backup", "nightly", job["state"]),
            ("refused", None, None, "refused"),
        } <= told
        (place.state / "api-token").write_text("a-token-of-the-operator\n")
        admin.ask("GET", "/api/jobs", expect=401)
        with Client(admin.address, "a-token-of-the-operator", place) as operator:
            operator.ask("DELETE", "/api/tokens/nightly", expect=204)
        assert httpx2.get(f"{admin.address}/api/jobs", headers={"Authorization": f"Bearer {made}"}).status_code == 401
    written = b"".join(
        path.read_bytes() for path in place.home.rglob("*") if path.is_file() and path.name != "api-token"
    )
    for secret in (first, made, "a-wrong-guess", "a-token-of-the-operator", PASSPHRASE):
        assert secret.encode() not in written
    lines = [json.loads(line) for path in place.logs if path.suffix == ".err" for line in path.read_text().splitlines()]
    assert {"request_id", "message", "at", "level", "logger"} <= {name for line in lines for name in line}
    assert any(line.get("job_id") == job["job_id"] for line in lines), [line["message"] for line in lines]
