"""Stand-ins for a cell's core containers: real Caddy, iptables and iproute2, in containers with names of their own."""

import io
import os
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.engine.base import CommandResult, Container, Engine
from tests.support.docker_engine import TestContainer, docker, libraries_of

_PROGRAMS = ("xtables-nft-multi", "xtables-legacy-multi", "ip", "getent", "caddy")
_OWN = {"sh", "ip"}  # busybox's own sh would run its own ip, whatever lies in /bin


class RenamedContainers:
    """Call containers by other names than the service does, so that tests don't meet on one engine."""

    def __init__(self, engine: Engine, names: dict[str, str]) -> None:
        self._engine = engine
        self._names = names

    async def inspect(self, name: str) -> Container:
        return await self._engine.inspect(self._name(name))

    async def signal(self, container: str, name: str) -> None:
        await self._engine.signal(self._name(container), name)

    async def run(
        self, container: str, command: Sequence[str], *, timeout_seconds: float, stdin: bytes | None = None
    ) -> CommandResult:
        return await self._engine.run(self._name(container), command, timeout_seconds=timeout_seconds, stdin=stdin)

    def _name(self, name: str) -> str:
        return self._names.get(name, f"cell-test-there-is-no-{name}")


@pytest.fixture(scope="session")
def core_image(docker_host: str) -> Iterator[str]:
    """Make one image that has all programs of the core containers; it is removed at the end."""
    del docker_host
    missing = [name for name in ("busybox", "sh", *_PROGRAMS) if _find(name) is None]
    if missing and os.environ.get("CELL_BACKUP_REQUIRE_ENGINE") == "1":
        pytest.fail(f"CELL_BACKUP_REQUIRE_ENGINE=1, but there is no {', '.join(missing)}")
    if missing:
        pytest.skip(f"there is no {', '.join(missing)}")
    image = f"cell-backup-test-core:{secrets.token_hex(4)}"
    docker("import", "-", image, data=_root())
    yield image
    docker("rmi", "--force", image)


def _find(name: str) -> Path | None:
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    return None if found is None else Path(found)


def _root() -> bytes:
    programs = {f"usr/bin/{name}": _find(name) for name in _PROGRAMS}
    programs |= {"bin/sh": _find("sh"), "bin/busybox": _find("busybox")}
    files = {name: path.resolve() for name, path in programs.items() if path is not None}
    libraries = [Path(library) for path in files.values() for library in libraries_of(path)]
    plugins = [path for folder in Path("/usr/lib").glob("*/xtables") for path in folder.iterdir()]
    files |= {str(path).lstrip("/"): path for path in (*libraries, *plugins)}
    listed = subprocess.run(["busybox", "--list"], capture_output=True, check=True, text=True).stdout.split()
    links = {f"bin/{applet}": "busybox" for applet in set(listed) - _OWN - {"busybox"}}
    for kind in ("nft", "legacy"):
        for end in ("", "-save", "-restore"):
            links[f"usr/bin/iptables-{kind}{end}"] = f"xtables-{kind}-multi"
    return _packed(files, links)


def _packed(files: dict[str, Path], links: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("tmp", "run", "vol"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(folder)
        for name, source in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = source.stat().st_size, 0o755
            with source.open("rb") as file:
                tar.addfile(member, file)
        for name, target in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return packed.getvalue()


@dataclass(frozen=True, slots=True)
class CoreContainer(TestContainer):
    """Know one running stand-in."""

    __test__ = False

    def restart(self) -> None:
        """Start it again, as `make restart` does."""
        docker("restart", "--time=0", self.name)


RunCore = Callable[..., AbstractContextManager[CoreContainer]]


@pytest.fixture
def run_core(core_image: str, tmp_path: Path) -> RunCore:
    """Give a context manager that runs a script as a container's main process; `options` are those of `docker run`."""

    @contextmanager
    def run(script: str, *, options: Sequence[Any] = ()) -> Iterator[CoreContainer]:
        name = f"cell-test-{secrets.token_hex(4)}"
        words = ["--network=none", "--stop-signal=KILL", "--label=cell-backup-test=1", f"--name={name}"]
        try:
            docker("run", "--detach", *words, *map(str, options), core_image, "sh", "-c", script)
            yield CoreContainer(name, tmp_path)
        finally:
            docker("rm", "--force", "--volumes", name)

    return run
