"""Containers with a volume each, in every state and with every way to hold them still."""

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.engine.helper import LABEL as HELPER
from tests.faults.processes.cells import Side, volume_of
from tests.support.docker_engine import Images, docker
from tests.support.trees import Tree


@dataclass(frozen=True, slots=True)
class Kind:
    """Say what a service's container has for an image, how it is held still, and in which state it always is."""

    gnu: bool = True
    quiesce: str = "none"
    state: str = "running"
    megabytes: int = 0


# names that no other test on this engine has: a label would add its volume to a service of the same name
STALLING = "fault-mail"
KINDS = {
    "fault-mail": Kind(megabytes=6),
    "fault-calendar": Kind(gnu=False, quiesce="pause"),
    "fault-photos": Kind(quiesce="stop", megabytes=2),
    "fault-asleep": Kind(state="exited"),
    "fault-frozen": Kind(gnu=False, quiesce="pause", state="paused"),
}

# GNU tar behind a script: where /tmp/stall has its first word, it stops itself, once, in the middle of its stream
_STALLING_TAR = r"""#!/bin/sh
if [ "$(cat /tmp/stall 2>/dev/null)" = "$1" ]; then
    first=$1 && shift && rm /tmp/stall
    exec /bin/gnutar "$first" --checkpoint=20 --checkpoint-action=exec="exec sh /bin/stop-once" "$@"
fi
exec /bin/gnutar "$@"
"""
_STOP_ONCE = r"""[ -e /tmp/stalled ] || { echo $PPID >/tmp/stalled; kill -STOP $PPID; }"""

# whole seconds: what is held still is read by the engine's endpoint, which gives no others
_FILL = {
    Side.A: """
        mkdir -p same gone/deep changed && echo same >same/file && echo a >changed/file && echo gone >gone/deep/file
        chown 7:8 changed/file && chmod 0664 changed/file && chmod 0775 gone
        """,
    Side.B: """
        mkdir -p same changed new && echo same >same/file && echo later >changed/file && echo new >new/file
        chown 9:10 changed && echo kind >gone
        """,
}
_TIMES = {Side.A: "202001020304", Side.B: "202205060708"}


class Containers:
    """Hold the containers of one cell; `home` has the folders that are their volumes."""

    def __init__(self, home: Path, images: Images, kinds: dict[str, Kind], more: Sequence[str]) -> None:
        self._home = home
        self._more = more
        self._images = images
        self._mark = secrets.token_hex(4)
        self._filled = False
        self.kinds = kinds

    def name(self, service: str) -> str:
        return f"cell-{self._mark}-{service}"

    def volume(self, service: str) -> Path:
        return self._home / f"volume-{service}"

    def start(self) -> None:
        """Make them all, with their volumes empty."""
        for service, kind in self.kinds.items():
            self.volume(service).mkdir()
            self.volume(service).chmod(0o755)
            image = self._images.gnu if kind.gnu else self._images.busybox
            options = ["--network=none", "--stop-signal=KILL", "--label=cell-backup-test=1"]
            options += [f"--name={self.name(service)}", f"--volume={self.volume(service)}:/vol"]
            docker("run", "--detach", *options, *self._more, image, "/bin/sleep", "100000")
        self._write(STALLING, "/bin/stop-once", _STOP_ONCE)
        self.sh(STALLING, "mv /bin/tar /bin/gnutar")
        self._write(STALLING, "/bin/tar", _STALLING_TAR)

    def _write(self, service: str, path: str, script: str) -> None:
        docker("exec", "-i", self.name(service), "sh", "-c", f"cat >{path} && chmod 755 {path}", data=script.encode())

    def _set(self, commands: dict[str, str]) -> None:
        """Run a docker command on each container that is in one of these states when all is well."""
        for service, kind in self.kinds.items():
            if kind.state in commands:
                docker(commands[kind.state], self.name(service))

    def stall(self, word: str) -> None:
        """Let the next tar that is run with this first word, in the container that can, stop in mid-stream."""
        self.sh(STALLING, f"rm -f /tmp/stalled && echo {word} >/tmp/stall")

    @property
    def stalled(self) -> bool:
        """Tell whether a tar stands still."""
        return bool(self.sh(STALLING, "cat /tmp/stalled 2>/dev/null || :"))

    def flow(self) -> None:
        """Let what stands still go on."""
        self.sh(STALLING, "kill -CONT $(cat /tmp/stalled)")

    def install(self, root: Path) -> None:
        """Write the services' manifests into a cell."""
        for service, kind in self.kinds.items():
            folder = root / "data/services" / service
            folder.mkdir(parents=True, exist_ok=True)
            manifest = {
                "id": service,
                "container_name": self.name(service),
                "capabilities": {"has_storage": True},
                "backup": {"volumes": [{"name": "v", "path": "/vol", "quiesce": kind.quiesce}]},
            }
            (folder / "manifest.json").write_text(json.dumps(manifest))

    def fill(self, side: Side) -> None:
        """Let the volumes be as they are on one side, and the containers in their states."""
        if self._filled:
            self._set({"paused": "unpause", "exited": "start"})
        self._filled = True
        for service, kind in self.kinds.items():
            times = f"find . -exec touch -h -t {_TIMES[side]} {{}} +"
            big = f"for i in $(seq {kind.megabytes}); do head -c 1000000 /dev/urandom >big-{side}-$i; done"
            self.sh(service, f"cd /vol && rm -rf -- * && {_FILL[side].strip()}\n{big}\n{times}")
        self._set({"paused": "pause", "exited": "stop"})

    def sh(self, service: str, script: str) -> str:
        """Run a script in a container that runs."""
        return docker("exec", self.name(service), "sh", "-c", script).decode(errors="surrogateescape")

    def volumes(self) -> dict[str, Tree]:
        """Describe every volume."""
        return {service: volume_of(self.volume(service), exact=kind.gnu) for service, kind in self.kinds.items()}

    def faults(self) -> list[str]:
        """Say which container is not in its state, which has a process too many, and which helpers are there."""
        names = {self.name(service): kind.state for service, kind in self.kinds.items()}
        told = docker("inspect", "--format={{.Name}} {{.State.Status}}", *names).decode().split("\n")
        found = dict(line.lstrip("/").split(" ") for line in told if line)
        wrong = [f"{name} is {found[name]}, not {state}" for name, state in names.items() if found[name] != state]
        for name, state in names.items():
            if state == "running" and found[name] == "running":
                processes = docker("top", name, "-o", "pid,stat,args").decode().splitlines()[1:]
                # `sleep` as process 1 waits for no children: those of a tar that was killed stay as zombies
                left = [line for line in processes if "sleep 100000" not in line and line.split()[1][0] != "Z"]
                wrong += [f"{name} has a process left: {line}" for line in left]
        return wrong + [f"helper {name} is left" for name in self._helpers()]

    def _helpers(self) -> list[str]:
        """Name the helpers that share a volume of these: other cells on this engine may have their own."""
        folders = [f"--filter=volume={self.volume(service)}" for service in self.kinds]
        listed = [docker("ps", "--all", "--format={{.Names}}", f"--filter=label={HELPER}", one) for one in folders]
        return sorted({name for names in listed for name in names.decode().split()})

    def remove(self) -> None:
        """Remove them, and what their root wrote."""
        for service in self.kinds:
            docker("rm", "--force", "--volumes", self.name(service))
        mount = f"--volume={self._home}:/home"
        docker("run", "--rm", "--network=none", mount, self._images.busybox, "sh", "-c", "rm -rf /home/volume-*/* || :")


@contextmanager
def containers(home: Path, images: Images, kinds: dict[str, Kind], more: Sequence[str] = ()) -> Iterator[Containers]:
    """Have the containers while the block runs; `more` are further options of `docker run`."""
    made = Containers(home, images, kinds, more)
    try:
        made.start()
        yield made
    finally:
        made.remove()
