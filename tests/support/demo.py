"""The demo, run as its user runs it, in a temporary directory of its own."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.service import CLI, PROJECT

_LIMIT = 120


@dataclass(frozen=True, slots=True)
class Demo:
    """Run the demo; `home` is its temporary directory, with a short name, as socket paths are short."""

    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        """Give the environment of a user without an engine, unless told otherwise."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(PROJECT),
            "TMPDIR": str(self.home),
            "DOCKER_HOST": f"unix://{self.home}/no-engine",
        }
        return kept | ours | more

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the demo, or another command in the same place."""
        return subprocess.run(
            command or (*CLI, "demo"),
            env=self.environment(**more),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT,
        )

    def begin(self, until: str, **more: str) -> subprocess.Popen[str]:
        """Start the demo and give it once a line begins with what this pattern says."""
        process = subprocess.Popen(
            (*CLI, "demo"),
            env=self.environment(**more),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert any(re.match(until, line) for line in process.stdout), f"no line begins with {until}"
        return process

    def left(self) -> list[str]:
        """Name what is in the temporary directory."""
        return sorted(path.name for path in self.home.iterdir())

    def processes(self) -> list[int]:
        """Give the ids of all processes that run in this place."""
        mark = f"TMPDIR={self.home}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found


@contextmanager
def demo_place() -> Iterator[Demo]:
    """Make a place for a demo; afterwards nothing runs there any more."""
    made = Demo(Path(tempfile.mkdtemp(prefix="cb-", dir="/tmp")))
    try:
        yield made
        assert made.processes() == []
    finally:
        for process in made.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(made.home)
