"""An engine of this test's own, which may be killed and started again."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.jobs.embedded import die_with_parent
from tests.support.waiting import eventually


class OwnEngine:
    """One dockerd with everything it has in one folder, no network, and containers that end with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def docker_host(self) -> str:
        return f"unix://{self._folder}/s"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--live-restore=false"]
        folders = [f"--{name}={self._folder / name}" for name in ("data-root", "exec-root")]
        pid_file = self._folder / "pid"
        pid_file.unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                # in a network of its own: with --bridge=none it would remove the docker0 of the machine's engine
                [
                    "unshare",
                    "--net",
                    "dockerd",
                    *options,
                    *folders,
                    f"--pidfile={pid_file}",
                    f"--host={self.docker_host}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  # none outlives a test run that is killed
            )
        try:
            eventually(self._answers, what="dockerd answers", limit=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.says()}") from None

    def kill(self) -> None:
        """End it as a power cut would, with everything that it runs and all that lies in memory."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        for process in self._others():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        eventually(lambda: not self._others(), what="all that the engine ran has ended")
        _unmount(self._folder / "exec-root")
        shutil.rmtree(self._folder / "exec-root", ignore_errors=True)

    def _others(self) -> list[int]:
        """Give its other processes, whose command lines name its folder, and theirs: the containers."""
        parents: dict[int, int] = {}
        ours: set[int] = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    if os.fsencode(self._folder) in (entry / "cmdline").read_bytes():
                        ours.add(int(entry.name))
        while more := {process for process, parent in parents.items() if parent in ours} - ours:
            ours |= more
        return sorted(ours - {os.getpid()})

    def stop(self) -> None:
        """End it and its containers."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def load(self, *images: str) -> None:
        """Take images over from the engine that all tests use."""
        saved = subprocess.run(["docker", "save", *images], check=True, capture_output=True).stdout
        subprocess.run(["docker", "--host", self.docker_host, "load"], input=saved, check=True, capture_output=True)

    def says(self) -> str:
        """Give the end of its log."""
        log = self._folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def _answers(self) -> bool:
        asked = ["docker", "--host", self.docker_host, "version"]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """Run it while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="eng-", dir="/tmp"))
    engine = OwnEngine(folder)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unmount(folder: Path) -> None:
    """Unmount what an engine that was killed has left."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(os.fspath(folder))), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
