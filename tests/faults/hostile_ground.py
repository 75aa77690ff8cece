"""A service whose cell must never change, whatever archive it is told to restore."""

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults.hostile_archives import PASSPHRASE
from tests.support.service import Client, running_service, sample_place
from tests.support.trees import Tree, describe, differences

_PHOTO = 5 << 20  # so much of it that an encrypted archive has several chunks
_MAX_MEMBERS = 2000


@dataclass(frozen=True, slots=True)
class Ground:
    """Hold a service whose cell must never change, and good archives of that cell."""

    service: Client
    plain: bytes
    locked: bytes
    other_locked: bytes
    tree: Tree

    def refuse(self, data: bytes, codes: set[str], says: str = "", **wanted: Any) -> str:
        """Try to restore an archive; check how it is refused and that nothing has changed, and give the message."""
        name = f"bad-{secrets.token_hex(4)}"
        suffix = ".tar.gz.age" if "passphrase" in wanted else ".tar.gz"
        file = self.service.place.backups / f"{name}{suffix}"
        before = self.service.place.archives()
        file.write_bytes(data)
        file.chmod(0o600)
        code, message = self._outcome(name, wanted)
        file.unlink()
        self._check_note(name, code)
        assert code in codes, f"{code}: {message}"
        assert re.search(says, message), message
        assert differences(self.tree, describe(self.service.place.cell)) == []
        assert self.service.place.archives() == before
        return message

    def _check_note(self, name: str, code: str) -> None:
        """Remove what the catalog may have noted about the archive: that it is not whole, or is foreign."""
        note = self.service.place.backups / f"{name}.json"
        if note.exists():
            assert json.loads(note.read_text())["verified"]["ok"] is (code == "nothing_to_restore")
            note.unlink()

    def _outcome(self, name: str, wanted: dict[str, Any]) -> tuple[str, str]:
        """Give code and message of the answer that refuses, or of the job that fails."""
        answer = self.service._http.post(f"/api/config/restore/{name}", json=wanted)
        if answer.status_code != 202:
            assert answer.status_code in {409, 422}, answer.text
            problem = answer.json()
            return problem["code"], problem["detail"]
        job = self.service.wait_for(answer.json()["job_id"])
        assert job["state"] == "failed", job
        return job["error"]["code"], job["error"]["message"]


@contextmanager
def hostile_ground() -> Iterator[Ground]:
    """Run the service over a cell that has changed since its archives were made."""
    with sample_place() as place:
        shutil.rmtree(place.cell / "data/services")
        (place.cell / "data/photo.jpg").write_bytes(secrets.token_bytes(_PHOTO))
        with running_service(place, max_members=_MAX_MEMBERS) as service:
            plain, locked, other = (
                (place.backups / service.backup(**wanted)["result"]["file_name"]).read_bytes()
                for wanted in ({}, {"passphrase": PASSPHRASE}, {"passphrase": PASSPHRASE})
            )
            # so that a restore of any of them would have much to do
            (place.cell / ".env").write_text("CHANGED=1\n")
            (place.cell / "data/dns/old.zone").write_text("came after the backup\n")
            (place.cell / "data/vault/vault.key").unlink()
            yield Ground(service, plain, locked, other, describe(place.cell))
