"""Real servers, filled through their own protocols, lost with the whole cell, restored on a bare machine, read back."""

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cell.sample import make_sample_cell
from tests.support.dav_client import DavClient, Items
from tests.support.dav_servers import CALENDAR, FILES, Server, server
from tests.support.restoring import restore, saved, service_with_engine
from tests.support.service import Place
from tests.support.trees import describe, differences

pytestmark = pytest.mark.engine

PASSPHRASE = "a long Paßphrase, with spaces"
LETTER = b"Dear Ada,\n" * 100_000


@dataclass(frozen=True, slots=True)
class Household:
    """Hold the two servers of a cell."""

    calendar: Server
    files: Server

    def fill(self) -> None:
        """Give the servers appointments, contacts and files, as a family's devices would."""
        with DavClient(self.calendar.address) as dav:
            dav.make_collection("/ada/family/", kind="calendar", name="Fämily")
            for number in range(20):
                dav.put(f"/ada/family/event-{number}.ics", event(number), media_type="text/calendar; charset=utf-8")
            dav.make_collection("/ada/people/", kind="contacts", name="People")
            for number in range(5):
                dav.put(f"/ada/people/{number}.vcf", contact(number), media_type="text/vcard; charset=utf-8")
        with DavClient(self.files.address) as dav:
            for folder in ("/Grüße/", "/Grüße/100 % + more/", "/empty/"):
                dav.make_folder(folder)
            dav.put("/Grüße/100 % + more/photo #1.jpg", secrets.token_bytes(3_000_000))
            dav.put("/Grüße/letter.txt", LETTER)
            dav.put("/nothing", b"")

    def read(self) -> dict[str, Any]:
        """Read everything back, as the servers give it."""
        with DavClient(self.calendar.address) as dav:
            names = {path: dav.display_name(path) for path in ("/ada/family/", "/ada/people/")}
            events: Items = dav.items("/ada/family/", kind="calendar")
            contacts: Items = dav.items("/ada/people/", kind="contacts")
        with DavClient(self.files.address) as dav:
            return {"names": names, "events": events, "contacts": contacts, "files": dav.files()}

    def is_empty(self) -> bool:
        """Tell whether the servers know nothing."""
        with DavClient(self.calendar.address) as calendar, DavClient(self.files.address) as files:
            return not calendar.exists("/ada/family/") and files.files() == {}

    def add_more(self) -> None:
        """Store one thing more in each: the servers can write where they wrote before."""
        with DavClient(self.calendar.address) as dav:
            dav.put("/ada/family/later.ics", event(99), media_type="text/calendar; charset=utf-8")
            assert len(dav.items("/ada/family/", kind="calendar")) == 21
        with DavClient(self.files.address) as dav:
            dav.put("/Grüße/later.txt", b"later")

    def restart(self) -> "Household":
        return Household(self.calendar.restart(), self.files.restart())


def event(number: int) -> bytes:
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//household//EN",
        "BEGIN:VEVENT",
        f"UID:event-{number}",
        "DTSTAMP:20260101T000000Z",
        f"DTSTART:2026{number % 12 + 1:02}15T120000Z",
        "RRULE:FREQ=WEEKLY;COUNT=10",
        f"SUMMARY:Frühstück {number}",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    return "\r\n".join(lines).encode()


def contact(number: int) -> bytes:
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"UID:contact-{number}", f"FN:Zoë {number}", f"N:{number};Zoë;;;"]
    return "\r\n".join([*lines, "END:VCARD", ""]).encode()


@contextmanager
def household(image: str, prefix: str) -> Iterator[Household]:
    """Run both servers, which are new and know nothing."""
    with (
        server(image, CALENDAR, f"{prefix}radicale") as calendar,
        server(image, FILES, f"{prefix}webdav") as files,
    ):
        made = Household(calendar, files)
        assert made.is_empty()
        yield made


def make_cell(root: Path, prefix: str) -> None:
    """Make a sample cell whose services are the two that run here."""
    make_sample_cell(root, container_prefix=prefix)
    shutil.rmtree(root / "data/services/mail")
    manifest = json.loads((root / "data/services/calendar/manifest.json").read_text())
    manifest |= {"id": "files", "name": "Files", "subdomain": "files", "container_name": f"{prefix}webdav"}
    manifest |= {
        "backend": f"{prefix}webdav:{FILES.port}",
        "backup": {"volumes": [{"name": "files", "path": FILES.volume}]},
    }
    (root / "data/services/files").mkdir()
    (root / "data/services/files/manifest.json").write_text(json.dumps(manifest))


def lose_everything_but_the_archives(place: Place) -> None:
    shutil.rmtree(place.cell)
    shutil.rmtree(place.state)
    place.cell.mkdir()


@pytest.mark.parametrize("secret", [{}, {"passphrase": PASSPHRASE}], ids=["plain", "encrypted"])
def test_a_lost_cell_comes_back_with_all_that_its_servers_were_given(
    place: Place, docker_host: str, server_image: str, secret: dict[str, str]
) -> None:
    prefix = f"cell-{secrets.token_hex(4)}-"
    shutil.rmtree(place.cell)
    make_cell(place.cell, prefix)
    with household(server_image, prefix) as home, service_with_engine(place, docker_host) as service:
        home.fill()
        given = home.read()
        job = service.backup(**secret)
        assert job["state"] == "succeeded", job
        cell = saved(describe(place.cell))
    lose_everything_but_the_archives(place)

    with household(server_image, prefix) as home, service_with_engine(place, docker_host) as service:
        restored = restore(service, job["backup_id"], **secret)

        assert restored["state"] == "succeeded", restored
        assert home.read() == given
        assert differences(cell, saved(describe(place.cell))) == []
        again = home.restart()
        assert again.read() == given
        again.add_more()


def test_what_came_after_the_backup_is_gone_and_what_was_lost_is_back(
    place: Place, docker_host: str, server_image: str
) -> None:
    prefix = f"cell-{secrets.token_hex(4)}-"
    shutil.rmtree(place.cell)
    make_cell(place.cell, prefix)
    with household(server_image, prefix) as home, service_with_engine(place, docker_host) as service:
        home.fill()
        given = home.read()
        job = service.backup(services=["calendar", "files"], components=[])
        home.add_more()
        with DavClient(home.files.address) as dav:
            dav.delete("/Grüße/letter.txt")

        restored = restore(service, job["backup_id"], services=["files"], components=[])

        assert restored["state"] == "succeeded", restored
        now = home.read()
        assert now["files"] == given["files"]
        assert len(now["events"]) == 21
        restore(service, job["backup_id"], services=["calendar"], components=[])
        assert home.read() == given
        before = service.get(f"/api/config/backups/{restored['result']['safety_backup_id']}")
        assert before["label"] == "before-restore"
        restore(service, before["backup_id"], services=["files"], components=[])
        now = home.read()["files"]
        assert now["/Grüße/later.txt"] == b"later"
        assert "/Grüße/letter.txt" not in now
