"""A real mail server in a container, and a client: this machine's Dovecot, spoken to over IMAP."""

import imaplib
import io
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from tests.support.docker_engine import docker
from tests.support.packing import root_file_system
from tests.support.waiting import eventually

VOLUME = "/var/mail"
_PORT = 143
_USER = 5000
_LIBRARY = Path("/usr/lib/dovecot")
_CONFIGURATION = f"""
protocols = imap
listen = *
ssl = no
disable_plaintext_auth = no
log_path = /dev/stderr
mail_location = maildir:{VOLUME}/%u/Maildir
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={_USER} gid={_USER} home={VOLUME}/%u
}}
"""
_ACCOUNTS = (("root", 0), ("dovecot", 901), ("dovenull", 902), ("mail", _USER))
_FETCHED = re.compile(rb"UID (\d+)")

Mail = tuple[frozenset[bytes], bytes, bytes]
Folders = dict[str, tuple[bytes, dict[int, Mail]]]


def why_no_mail_server() -> str | None:
    """Say why there can be none; None where there can."""
    return None if shutil.which("dovecot") and _LIBRARY.is_dir() else "there is no Dovecot on this machine"


@contextmanager
def made_image() -> Iterator[str]:
    """Make the image by `docker import`; it is removed at the end."""
    name = f"cell-backup-test-mail:{secrets.token_hex(4)}"
    docker("import", "-", name, data=_packed())
    try:
        yield name
    finally:
        docker("rmi", "--force", name)


def _packed() -> bytes:
    packed = io.BytesIO()
    with root_file_system(packed) as root:
        root.tools()
        for name, folder in (("dovecot", "sbin"), ("doveconf", "bin")):
            root.program(Path(shutil.which(name) or name), f"/usr/{folder}/{name}")
        root.tree(_LIBRARY, str(_LIBRARY))
        for file in _LIBRARY.rglob("*"):
            if file.is_file():
                root.libraries(file)
        root.text("etc/dovecot/dovecot.conf", _CONFIGURATION)
        root.text("etc/passwd", "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in _ACCOUNTS))
        root.text("etc/group", "".join(f"{name}:x:{number}:\n" for name, number in _ACCOUNTS))
        for folder in ("tmp", "run", "var/lib/dovecot"):
            root.folder(folder)
        root.folder(VOLUME.lstrip("/"), user=_USER)
    return packed.getvalue()


@dataclass(frozen=True, slots=True)
class MailServer:
    """Know one running server."""

    container: str
    port: int

    def restart(self) -> "MailServer":
        """Restart the container as `make restart` would; its port may be another one then."""
        docker("restart", "--time=0", self.container)
        return _answering(self.container)


@contextmanager
def mail_server(image: str, container: str) -> Iterator[MailServer]:
    """Run a server whose volume is new and empty; afterwards neither of the two is left."""
    options = [f"--name={container}", f"--volume={VOLUME}", f"--publish=127.0.0.1::{_PORT}"]
    try:
        docker("run", "--detach", *options, image, "/usr/sbin/dovecot", "-F")
        yield _answering(container)
    finally:
        docker("rm", "--force", "--volumes", container)


def _answering(container: str) -> MailServer:
    place = docker("port", container, f"{_PORT}/tcp").decode().splitlines()[0]
    port = int(place.rpartition(":")[2])

    def answers() -> bool:
        try:
            imaplib.IMAP4("127.0.0.1", port, timeout=10).logout()
        except (OSError, imaplib.IMAP4.abort):
            running = docker("inspect", "--format={{.State.Running}}", container) == b"true\n"
            assert running, docker("logs", container).decode()
            return False
        return True

    eventually(answers, what=f"{container} answers")
    return MailServer(container, port)


class MailClient:
    """Read and write one user's mail."""

    def __init__(self, server: MailServer, user: str = "ada") -> None:
        self._imap = imaplib.IMAP4("127.0.0.1", server.port, timeout=30)
        self._imap.login(user, "any")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._imap.logout()

    def make_folder(self, name: str) -> None:
        """Make a folder; the name is in IMAP's own UTF-7."""
        self._done(self._imap.create(f'"{name}"'))

    def store(self, folder: str, number: int, *flags: str) -> None:
        """Put a letter into a folder, with a date of its own."""
        letter = EmailMessage()
        letter["Subject"], letter["From"], letter["To"] = f"Brief {number}: Grüße", "grace@home.cell", "ada@home.cell"
        letter.set_content(f"Dear Ada,\n\nthis is letter {number}.\n" * (number + 1))
        letter.add_attachment(secrets.token_bytes(1000 * number), "image", "jpeg", filename=f"{number}.jpg")
        date = f'"{number % 28 + 1:02}-Oct-2026 12:00:{number:02} +0000"'
        self._done(self._imap.append(f'"{folder}"', " ".join(flags), date, letter.as_bytes()))

    def delete(self, folder: str, uid: int) -> None:
        """Delete a letter for good."""
        self._done(self._imap.select(f'"{folder}"'))
        self._done(self._imap.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)"))
        self._done(self._imap.expunge())

    def folders(self) -> Folders:
        """Give all letters by folder and UID: flags, date, contents; with each folder the validity of its UIDs."""
        _, listed = self._imap.list()
        lines = [line.decode() for line in listed if isinstance(line, bytes)]
        names = [line.rpartition(' "." ')[2] for line in lines if r"\Noselect" not in line]
        return {name: self._letters(name) for name in sorted(names)}

    def _letters(self, folder: str) -> tuple[bytes, dict[int, Mail]]:
        count = self._done(self._imap.select(folder, readonly=True))
        _, validity = self._imap.response("UIDVALIDITY")
        letters = {}
        if count[0] != b"0":
            for item in self._done(self._imap.fetch("1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")):
                if isinstance(item, tuple):
                    flags = frozenset(imaplib.ParseFlags(item[0])) - {rb"\Recent"}
                    uid = _FETCHED.search(item[0])
                    assert uid is not None
                    letters[int(uid[1])] = (flags, b"%d" % _seconds(item[0]), item[1])
        return bytes(validity[0] or b""), letters

    def _done(self, answer: tuple[str, Any]) -> list[Any]:
        assert answer[0] == "OK", answer
        found: list[Any] = answer[1]
        return found


def _seconds(head: bytes) -> int:
    date = imaplib.Internaldate2tuple(head)
    assert date is not None
    return int(time.mktime(date))
