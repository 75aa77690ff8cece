"""Real mailboxes: filled over IMAP, lost with the cell, restored on a bare machine, read back over IMAP."""

import secrets
import shutil
from collections.abc import Iterator

import pytest

from app.cell.sample import make_sample_cell
from tests.support.mail_server import MailClient, made_image, mail_server, why_no_mail_server
from tests.support.restoring import restore, saved, service_with_engine
from tests.support.service import Place
from tests.support.trees import describe, differences

pytestmark = pytest.mark.engine

DRAFTS, ARCHIVE = "Entw&APw-rfe", "Archive.2025"


@pytest.fixture(scope="module")
def mail_image(docker_host: str) -> Iterator[str]:
    del docker_host
    if reason := why_no_mail_server():
        pytest.skip(reason)
    with made_image() as name:
        yield name


def fill(mail: MailClient) -> None:
    """Do what a household's mail programs do: folders, flags, keywords, deleted letters."""
    for name in (DRAFTS, ARCHIVE, "Empty"):
        mail.make_folder(name)
    for number in range(20):
        mail.store("INBOX", number, *([r"\Seen"] if number % 2 else []), *(["Family"] if number % 5 == 0 else []))
    for number in range(3):
        mail.store(DRAFTS, number, r"\Draft", r"\Flagged")
        mail.store(ARCHIVE, number, r"\Answered", r"\Seen")
    mail.delete("INBOX", 7)


def test_lost_mailboxes_come_back_with_every_letter_its_number_and_its_flags(
    place: Place, docker_host: str, mail_image: str
) -> None:
    prefix = f"cell-{secrets.token_hex(4)}-"
    shutil.rmtree(place.cell)
    make_sample_cell(place.cell, container_prefix=prefix)
    shutil.rmtree(place.cell / "data/services/calendar")
    with mail_server(mail_image, f"{prefix}mail") as server, service_with_engine(place, docker_host) as service:
        with MailClient(server) as mail:
            fill(mail)
            given = mail.folders()
        job = service.backup(passphrase="correct horse")
        assert job["state"] == "succeeded", job
        cell = saved(describe(place.cell))
    shutil.rmtree(place.cell)
    shutil.rmtree(place.state)
    place.cell.mkdir()

    with mail_server(mail_image, f"{prefix}mail") as server, service_with_engine(place, docker_host) as service:
        with MailClient(server, "grace") as mail:
            mail.store("INBOX", 1)  # came after the backup, and is no part of it
        restored = restore(service, job["backup_id"], passphrase="correct horse")

        assert restored["state"] == "succeeded", restored
        assert differences(cell, saved(describe(place.cell))) == []
        with MailClient(server) as mail:
            assert mail.folders() == given
        again = server.restart()
        with MailClient(again, "grace") as mail:
            assert mail.folders()["INBOX"][1] == {}
        with MailClient(again) as mail:
            assert mail.folders() == given
            mail.store("INBOX", 20)
            _, letters = mail.folders()["INBOX"]
        assert max(letters) == max(given["INBOX"][1]) + 1
        assert sum(len(letters) for _, letters in given.values()) == 25
