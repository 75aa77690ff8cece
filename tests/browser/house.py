"""A cell with two services that run and have data, and the backup service beside it."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from app.cell.sample import make_sample_cell
from app.cell.sample_services import make_sample_volumes
from tests.support.docker_engine import Images, docker
from tests.support.service import Client, Place, running_service, sample_place
from tests.support.waiting import eventually

_MAIL_BYTES = 12_000_000
_HALF_WAY = 180  # of about 370 blocks
_HELD = "/tmp/held"
# GNU tar behind a script: after every 20 blocks of 32 KiB it waits, where it is to be held at this place or before it
_TAR = """#!/bin/sh
[ "$1" = --create ] || exec /bin/gnutar "$@"
shift
exec /bin/gnutar --create --checkpoint=20 --checkpoint-action=exec="exec sh /bin/wait-while-held" "$@"
"""
_WAIT = f"""while at=$(cat {_HELD} 2>/dev/null) && [ "$TAR_CHECKPOINT" -ge "$at" ]; do sleep 0.05; done
"""


@dataclass(slots=True)
class House:
    """Hold the cell, the service and a client of it; `prefix` begins the names of the containers."""

    place: Place
    service: Client
    prefix: str
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def address(self) -> str:
        return self.service.address

    def token(self, scope: str) -> str:
        """Give a token of this scope."""
        if scope not in self._tokens:
            self._tokens[scope] = self.new_token(f"browser-{scope}", scope)
        return self._tokens[scope]

    def new_token(self, name: str, scope: str) -> str:
        """Make a token of this name and scope, and give it."""
        answer = self.service.ask("POST", "/api/tokens", expect=201, json={"name": name, "scope": scope}).json()
        token: str = answer["token"]
        return token

    def backup(self, label: str, **wanted: Any) -> str:
        """Make a backup without a browser, and give its id."""
        job = self.service.backup(label=label, **wanted)
        assert job["state"] == "succeeded", job
        backup_id: str = job["backup_id"]
        return backup_id

    @contextmanager
    def held_half_way(self) -> Iterator[None]:
        """Let backups stand still in the middle of the mail while the block runs."""
        self.in_mail(f"echo {_HALF_WAY} >{_HELD}")
        try:
            yield
        finally:
            self.in_mail(f"rm -f {_HELD}")

    @contextmanager
    def without_calendar(self) -> Iterator[None]:
        """Have no container of the calendar while the block runs, so that its volume cannot be saved."""
        name = f"{self.prefix}radicale"
        docker("rename", name, f"{name}-away")
        try:
            yield
        finally:
            docker("rename", f"{name}-away", name)

    def wait_until_held(self) -> None:
        """Wait until a backup stands still."""
        eventually(lambda: b"wait-while-held" in docker("top", f"{self.prefix}mail"), what="a backup is held")

    def in_mail(self, script: str) -> str:
        """Run a script in the container of the mail; give what it says."""
        return docker("exec", f"{self.prefix}mail", "sh", "-c", script).decode()


@contextmanager
def running_house(docker_host: str, images: Images) -> Iterator[House]:
    """Run everything while the block runs."""
    prefix = f"cell-{secrets.token_hex(2)}-"
    with sample_place() as place:
        shutil.rmtree(place.cell)
        make_sample_cell(place.cell, container_prefix=prefix)
        # without step 8 of a restore: a real cell's cell-caddy may run on this engine, and is none of a test's
        settings = {"docker_host": docker_host, "regenerate": "off", "webhook_networks": "127.0.0.0/8"}
        with _containers(place, images, prefix), running_service(place, **settings) as client:
            eventually(lambda: client._http.get("/ready").is_success, what="the worker is there")
            yield House(place, client, prefix)


@contextmanager
def _containers(place: Place, images: Images, prefix: str) -> Iterator[None]:
    folder = place.home / "volumes"
    volumes = make_sample_volumes(folder, mail_bytes=_MAIL_BYTES)
    made = {f"{prefix}mail": (volumes["mail"], "/var/mail"), f"{prefix}radicale": (volumes["calendar"], "/data")}
    try:
        for name, (source, path) in made.items():
            options = ["--network=none", "--stop-signal=KILL", "--label=cell-backup-test=1", f"--name={name}"]
            docker("run", "--detach", *options, f"--volume={source}:{path}", images.gnu, "/bin/sleep", "100000")
        mail = f"{prefix}mail"
        docker("exec", mail, "mv", "/bin/tar", "/bin/gnutar")
        for path, script in {"/bin/tar": _TAR, "/bin/wait-while-held": _WAIT}.items():
            docker("exec", "-i", mail, "sh", "-c", f"cat >{path} && chmod 755 {path}", data=script.encode())
        yield
    finally:
        docker("rm", "--force", *made)
        # what a container's root wrote, as a restore does, only a container's root can remove
        mount = f"--volume={folder}:/volumes"
        docker("run", "--rm", "--network=none", mount, images.busybox, "sh", "-c", "rm -rf /volumes/*")
