"""Containers to read from and to write to, made of this machine's own programs, because nothing can be pulled."""

import io
import re
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.volumes import Volume

_GNU_PROGRAMS = ("tar", "sh", "sleep", "stat", "find", "du", "df", "rm", "kill", "sync")
_BUSYBOX_LINKS = ("tar", "sh", "sleep", "stat", "find", "du", "df", "rm", "kill", "sync")
_FOREVER = "1000000"


@dataclass(frozen=True, slots=True)
class Container:
    """Describe one running container; `tar` names the tar it has."""

    name: str
    id: str
    tar: str

    def path(self, volume: Volume) -> str:
        """Give the volume's path in the container."""
        return f"/volumes/{volume.key}"

    def read(self, volume: Volume) -> list[str]:
        """Give the command that writes the volume as a tar, as one would type it."""
        return ["docker", "exec", self.name, "tar", "-c", "-C", self.path(volume), "."]

    def write(self, volume: Volume) -> list[str]:
        """Give the command that unpacks the volume from a plain archive of it, as one would type it."""
        return ["docker", "exec", "-i", self.name, "tar", "-x", "-C", self.path(volume), "--strip-components=3"]


def docker(*arguments: str, data: bytes | None = None) -> str:
    """Run docker and give its output; end the program with its words where it fails."""
    done = subprocess.run(["docker", *arguments], input=data, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"docker {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().strip()


def engine_version() -> str:
    """Give the engine's version; end the program where there is no engine."""
    if shutil.which("docker") is None:
        raise SystemExit("The benchmarks read from a real container: install Docker, there is no docker command here.")
    done = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise SystemExit(f"The benchmarks read from a real container, and no Docker engine answers: {words[0]}")
    return done.stdout.strip()


def why_no_image(tar: str) -> str | None:
    """Say why there can be no container with this tar; None where there can be one."""
    if tar == "busybox":
        return None if shutil.which("busybox") else "there is no busybox on this machine"
    missing = [program for program in _GNU_PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"this machine has no {' and no '.join(missing)}"
    version = subprocess.run(["tar", "--version"], capture_output=True, text=True, check=False).stdout
    return None if "GNU tar" in version else "this machine's tar is not GNU tar"


@contextmanager
def running_container(tar: str, volumes: Iterable[Volume]) -> Iterator[Container]:
    """Run a container with `gnu` or `busybox` tar that may write to the volumes; it and its image go away again."""
    name = f"cell-bench-{secrets.token_hex(3)}-{tar}"
    image = f"cell-backup-bench-{tar}:{secrets.token_hex(3)}"
    mounts = [f"--volume={volume.folder}:/volumes/{volume.key}" for volume in volumes]
    options = ["--network=none", "--security-opt=label=disable", "--stop-signal=KILL", f"--name={name}", *mounts]
    try:
        docker("import", "-", image, data=_busybox_root() if tar == "busybox" else _gnu_root())
        yield Container(name, docker("run", "--detach", *options, image, "/bin/sleep", _FOREVER), tar)
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)
        subprocess.run(["docker", "rmi", "--force", image], capture_output=True, check=False)


def _gnu_root() -> bytes:
    programs = {program: Path(shutil.which(program) or program) for program in _GNU_PROGRAMS}
    return _root({f"/bin/{name}": path for name, path in programs.items()}, links=())


def _busybox_root() -> bytes:
    return _root({"/bin/busybox": Path(shutil.which("busybox") or "busybox")}, links=_BUSYBOX_LINKS)


def _root(programs: dict[str, Path], *, links: Iterable[str]) -> bytes:
    """Pack a root file system of programs with the libraries they want; `links` are more names of busybox."""
    libraries = {name: Path(name) for path in programs.values() for name in _libraries(path)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        for name, path in {**libraries, **programs}.items():
            tar.add(path.resolve(), name)
        for name in links:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return packed.getvalue()


def _libraries(program: Path) -> list[str]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", listed.stdout)
