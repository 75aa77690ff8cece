"""Real servers in containers: Radicale (calendars, contacts) and WsgiDAV (files), run by this machine's own Python."""

import io
import secrets
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution, requires
from pathlib import Path

import httpx2
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.docker_engine import docker
from tests.support.packing import RootFileSystem, root_file_system
from tests.support.waiting import eventually

_PACKAGES = ("radicale", "wsgidav", "cheroot")
_PYTHON = Path("/usr/local/bin/python")
_APPLICATIONS = "applications"
_USER = 5000
_NOT_NEEDED = {"test", "tests", "idlelib", "site-packages", "dist-packages", "ensurepip", "tkinter", "lib2to3"}


@dataclass(frozen=True, slots=True)
class Kind:
    """Describe one kind of server: where it keeps what it is given, where it listens, and how it is started."""

    volume: str
    port: int
    command: tuple[str, ...]


CALENDAR = Kind(
    "/data",
    5232,
    (
        "radicale",
        "--server-hosts=0.0.0.0:5232",
        "--auth-type=none",
        "--storage-filesystem-folder=/data",
    ),
)
FILES = Kind(
    "/srv/files",
    8080,
    (
        "wsgidav.server.server_cli",
        "--host=0.0.0.0",
        "--port=8080",
        "--root=/srv/files",
        "--auth=anonymous",
        "--server=cheroot",
        "--quiet",
    ),
)


@dataclass(frozen=True, slots=True)
class Server:
    """Know one running server."""

    container: str
    kind: Kind
    address: str

    def is_empty(self) -> bool:
        """Tell whether there is nothing in its volume."""
        return docker("exec", self.container, "ls", "-A", self.kind.volume) == b""

    def restart(self) -> "Server":
        """Restart the container as `make restart` would; its address may be another one then."""
        docker("restart", "--time=0", self.container)
        return _answering(self.container, self.kind)


@contextmanager
def made_image() -> Iterator[str]:
    """Make the servers' image by `docker import`; it is removed at the end."""
    name = f"cell-backup-test-servers:{secrets.token_hex(4)}"
    docker("import", f"--change=ENV PYTHONPATH=/{_APPLICATIONS}", "-", name, data=_root_file_system())
    try:
        yield name
    finally:
        docker("rmi", "--force", name)


@contextmanager
def server(image: str, kind: Kind, container: str) -> Iterator[Server]:
    """Run a server whose volume is new and empty; afterwards neither of the two is left."""
    options = [
        f"--name={container}",
        f"--user={_USER}:{_USER}",
        f"--volume={kind.volume}",
        f"--publish=127.0.0.1::{kind.port}",
    ]
    try:
        docker("run", "--detach", *options, image, str(_PYTHON), "-m", *kind.command)
        yield _answering(container, kind)
    finally:
        docker("rm", "--force", "--volumes", container)


def _answering(container: str, kind: Kind) -> Server:
    place = docker("port", container, f"{kind.port}/tcp").decode().splitlines()[0]
    address = f"http://{place}"

    def answers() -> bool:
        try:
            return httpx2.request("OPTIONS", address, timeout=5).status_code < 500
        except httpx2.TransportError:
            running = docker("inspect", "--format={{.State.Running}}", container) == b"true\n"
            assert running, docker("logs", container).decode()
            return False

    eventually(answers, what=f"{container} answers")
    return Server(container, kind, address)


def _root_file_system() -> bytes:
    """Pack this machine's Python, the servers with all that they need, and a container's usual tools."""
    packed = io.BytesIO()
    with root_file_system(packed) as root:
        _add_python(root)
        for name in _with_needs(_PACKAGES):
            for file in distribution(name).files or ():
                if ".." not in file.parts and Path(str(file.locate())).is_file():
                    root.tree(Path(str(file.locate())), f"{_APPLICATIONS}/{file}")
        root.tools()
        root.folder("tmp")
        for folder in (CALENDAR.volume, FILES.volume):
            root.folder(folder, user=_USER)
    return packed.getvalue()


def _add_python(root: RootFileSystem) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    version = f"python3.{sys.version_info.minor}"
    root.program(Path(sys.base_exec_prefix, "bin", version), str(_PYTHON))
    # where the interpreter looks, from its own place
    root.tree(library, f"{_PYTHON.parent.parent}/lib/{version}", only=_needed)
    for extension in library.glob("lib-dynload/*.so"):
        root.libraries(extension)


def _needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(member.name).parts
    return None if _NOT_NEEDED & set(parts) or any(part.startswith("config-") for part in parts) else member


def _with_needs(names: tuple[str, ...]) -> set[str]:
    """Name packages with all that they need, as they are installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            needs = [Requirement(line) for line in requires(name) or ()]
            waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found
