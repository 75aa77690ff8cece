"""What processes have cost so far, read from /proc."""

import os
from collections.abc import Mapping
from pathlib import Path

KIB = 1 << 10
_TICKS = os.sysconf("SC_CLK_TCK")
_ENGINE = frozenset({"dockerd", "containerd"})
_SHIM = "containerd-shim"  # of containerd-shim-runc-v2: the kernel cuts names after 15 letters

# Whose CPU time is counted apart.
TAR, ENGINE, COMMANDS, WORKER, API, REDIS = "tar", "engine", "commands", "worker", "api", "redis"


def peak_memory(pid: int) -> int:
    """Give the most bytes of memory the process has had since `reset_peak_memory`."""
    line = next(line for line in _read(pid, "status").splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * KIB


def reset_peak_memory(pid: int) -> None:
    """Let the peak be what the process has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def children(pid: int) -> dict[int, str]:
    """Give the command lines of a process's children, by process id."""
    return {child: _read(child, "cmdline") for child in _pids() if _parent(child) == pid}


class CpuClock:
    """Tell the CPU seconds that everyone who takes part in a backup has used, by name.

    The tar in the container counts once it has ended: then its shim has its time. The engine and its tars are missing
    where they cannot be seen from here.
    """

    def __init__(self, container_id: str, service: Mapping[str, int]) -> None:
        names = {pid: _read(pid, "comm").strip() for pid in _pids()}
        self._shims = [pid for pid, name in names.items() if name == _SHIM and container_id in _read(pid, "cmdline")]
        self._engine = [*self._shims, *(pid for pid, name in names.items() if name in _ENGINE)]
        self._service = service

    def read(self) -> dict[str, float]:
        """Give the CPU seconds so far."""
        waited_for = os.times()
        seconds = {COMMANDS: waited_for.children_user + waited_for.children_system}
        seconds |= {name: sum(_cpu_seconds(pid)) for name, pid in self._service.items()}
        if self._shims:
            seconds[ENGINE] = sum(_cpu_seconds(pid)[0] for pid in self._engine)
            seconds[TAR] = sum(_cpu_seconds(pid)[1] for pid in self._shims)
        return seconds

    def since(self, before: Mapping[str, float]) -> dict[str, float]:
        """Give the CPU seconds used since an earlier reading."""
        return {name: seconds - before[name] for name, seconds in self.read().items()}


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """Give the CPU seconds of the process itself, and of its children that have ended."""
    user, system, children_user, children_system = map(int, _stat(pid)[11:15])
    return (user + system) / _TICKS, (children_user + children_system) / _TICKS


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    return _read(pid, "stat").rpartition(")")[2].split()


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> str:
    """Read a file of a process; one that has ended has nothing in it."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""
