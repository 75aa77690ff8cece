"""A new machine: a container with a bare Debian, and later an engine of its own inside."""

import secrets
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

from tests.service.terminal import Session, all_on_terminal
from tests.support.docker_engine import docker
from tests.support.service import PROJECT
from tests.support.waiting import eventually

_STEP_LIMIT = 400.0
_ENGINE_LIMIT = 60.0
# an engine wants to mount and to make networks; not all of --privileged, which a machine of tests may not have itself
_RIGHTS = (
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
)
_INIT = """
for folder in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    if mountpoint -q "$folder"; then mount -o remount,bind,rw "$folder"; fi
done
exec sleep infinity
"""
# what somebody has who has this project
_SOFTWARE = ("app", "workers", "deploy", "Makefile", "README.md", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Machine:
    """Know one machine, by the name of its container."""

    name: str

    def sh(self, script: str) -> str:
        """Run a script as root and give what it prints; fail with its words."""
        done = subprocess.run(
            ["docker", "exec", "-i", self.name, "bash", "-e"],
            input=script.encode(),
            capture_output=True,
            check=False,
            timeout=_STEP_LIMIT,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done.stdout.decode()

    def type(self, commands: str, answers: Sequence[str] = ()) -> Session:
        """Give commands to a shell on a terminal, as somebody does who sits before it."""
        return all_on_terminal(
            ["docker", "exec", "-it", self.name, "bash", "-e", "-c", commands], answers, limit=_STEP_LIMIT
        )

    def put(self, path: str, content: bytes) -> None:
        """Write a file; its folder is there."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            member = tarfile.TarInfo(Path(path).name)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, BytesIO(content))
        docker("cp", "-", f"{self.name}:{Path(path).parent}", data=packed.getvalue())

    def get(self, path: str) -> bytes:
        """Read a file."""
        packed = docker("cp", f"{self.name}:{path}", "-")
        with tarfile.open(fileobj=BytesIO(packed)) as tar:
            file = tar.extractfile(Path(path).name)
            assert file is not None
            return file.read()

    def start_engine(self) -> None:
        """Do what the init of a real machine does once Docker is installed, and a container has not."""
        docker("exec", "--detach", self.name, "sh", "-c", "exec dockerd >/var/log/dockerd.log 2>&1")
        eventually(partial(self._engine_answers), what="the machine's engine answers", limit=_ENGINE_LIMIT)

    def _engine_answers(self) -> bool:
        command = ["docker", "exec", self.name, "docker", "version"]
        return subprocess.run(command, capture_output=True, check=False, timeout=_ENGINE_LIMIT).returncode == 0

    def copy_software(self) -> None:
        """Copy this project onto the machine."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name in _SOFTWARE:
                tar.add(PROJECT / name, f"cell-backup/{name}", filter=_not_compiled)
        docker("cp", "-", f"{self.name}:/opt", data=packed.getvalue())


def _not_compiled(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(member.name).name == "__pycache__" else member


@contextmanager
def new_machine(image: str, wheels: Path) -> Iterator[Machine]:
    """Start a machine that has internet for Debian's packages, and Python's in a folder; it is gone afterwards."""
    machine = Machine(f"cell-backup-test-machine-{secrets.token_hex(4)}")
    # on volumes of their own, as an overlay on an overlay fails
    folders = ("--volume=/var/lib/docker", "--volume=/var/lib/containerd", f"--volume={wheels}:/wheels:ro")
    settings = ("--env=PIP_NO_INDEX=1", "--env=PIP_FIND_LINKS=/wheels", "--env=DEBIAN_FRONTEND=noninteractive")
    try:
        docker(
            *("run", "--detach", f"--name={machine.name}", "--hostname=new-machine", "--stop-signal=KILL"),
            *(*_RIGHTS, *folders, *settings, image, "sh", "-c", _INIT),
        )
        yield machine
    finally:
        docker("rm", "--force", "--volumes", machine.name)
