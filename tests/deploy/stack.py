"""The composed stack on a real engine: built, brought up, looked at, taken down."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import override

from tests.deploy.images import Base, build_context
from tests.support.debian import call
from tests.support.docker_engine import docker
from tests.support.redis_server import free_port
from tests.support.service import Client, Place
from tests.support.waiting import eventually

SERVICES = ("api", "worker", "redis")
COMPOSE = "docker-compose"
OFFLINE = "--no-index --find-links=wheels"
_UP_LIMIT = 180.0
_OWN = ("CELL_BACKUP_", "COMPOSE_")


@dataclass(frozen=True, slots=True)
class Stack(Place):
    """Know one stack: the folder it was built in, and the variables it is called with; its cell lies in `home`."""

    folder: Path
    variables: Mapping[str, str]

    @property
    @override
    def backups(self) -> Path:
        return self.cell / "backups"

    @override
    def tail(self) -> str:
        """Give the last lines that each container said."""
        return self.compose("logs", "--no-color", "--tail=15")

    def compose(self, *arguments: str, **more: str) -> str:
        """Call compose for this stack; `more` are variables for this one call."""
        return call(COMPOSE, *arguments, cwd=self.folder, env={**self.variables, **more})

    def container(self, service: str) -> str:
        """Give the id of a service's container."""
        project = f"com.docker.compose.project={self.variables['COMPOSE_PROJECT_NAME']}"
        filters = (f"--filter=label={project}", f"--filter=label=com.docker.compose.service={service}")
        return docker("ps", "--all", "--quiet", "--no-trunc", *filters).decode().strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """Give all that the engine knows of a service's container."""
        inspected: dict[str, Any] = json.loads(docker("inspect", self.container(service)))[0]
        return inspected

    def in_container(self, service: str, script: str) -> str:
        """Run a script in a service's container."""
        return docker("exec", self.container(service), "sh", "-c", script).decode()

    def wait_until_healthy(self, *services: str) -> None:
        """Return once the health checks of these services' containers are content."""
        for service in services:
            healthy = partial(_is_healthy, self.container(service))
            eventually(healthy, what=f"{service} is healthy", limit=_UP_LIMIT)

    def kill(self, service: str) -> None:
        """End a container as a crash would; `docker kill` would count as an order, after which nothing restarts."""
        os.kill(self.inspect(service)["State"]["Pid"], signal.SIGKILL)

    def process(self, service: str, word: str) -> int:
        """Give the number, on this machine, of the process in a service's container that was called with this word."""
        lines = docker("top", self.container(service), "-eo", "pid,args").decode().splitlines()[1:]
        [pid] = [int(line.split()[0]) for line in lines if word in line.split()]
        return pid

    def client(self) -> Client:
        """Give a client that calls through the published port, with the token that the API made."""
        token = self.in_container("api", "cat /var/lib/cell-backup/api-token").strip()
        return Client(f"http://127.0.0.1:{self.variables['CELL_BACKUP_PORT']}", token, self)


def _is_healthy(container: str) -> bool:
    return docker("inspect", "--format={{.State.Health.Status}}", container) == b"healthy\n"


@contextmanager
def built_stack(base: Base, docker_host: str) -> Iterator[Stack]:
    """Build the stack's image; nothing of it is left afterwards, whatever became of it."""
    home = Path(tempfile.mkdtemp(prefix="cb-", dir="/tmp"))
    stack = Stack(home=home, folder=home / "stack", variables=_variables(home, base, docker_host))
    try:
        stack.folder.mkdir()
        build_context(stack.folder, base)
        stack.compose("build", "--force-rm")
        yield stack
    finally:
        docker("rmi", "--force", stack.variables["IMAGE"])
        shutil.rmtree(home)


@contextmanager
def running_stack(stack: Stack) -> Iterator[None]:
    """Bring a built stack up; afterwards its containers, volumes and networks are gone."""
    try:
        stack.compose("up", "--detach", "--no-build")
        stack.wait_until_healthy(*SERVICES)
        yield
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout=20")


def _variables(home: Path, base: Base, docker_host: str) -> dict[str, str]:
    project = f"cell-backup-test-{base.mark}"
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_OWN)},
        "COMPOSE_PROJECT_NAME": project,
        "DOCKER_SOCKET": urlsplit(docker_host).path or "/var/run/docker.sock",
        "BASE": base.name,
        "REDIS_IMAGE": base.name,
        "IMAGE": f"{project}:1",
        "PIP_OPTIONS": OFFLINE,
        "BUILD_NETWORK": "none",
        "CELL_BACKUP_CELL_ROOT": str(home / "cell"),
        "SECRETS_DIR": str(home / "secrets"),
        "CELL_BACKUP_PORT": str(free_port()),
        "CELL_BACKUP_LEASE_SECONDS": "5",
        "CELL_BACKUP_SCRYPT_N": "1024",
        "CELL_BACKUP_REGENERATE": "off",
    }
