"""Which process a helper container belongs to, told apart from any other that had its number."""

import os
import uuid
from pathlib import Path

_START_FIELD = 19  # field 22 of proc_pid_stat(5), counted behind the name in brackets
_DEAD = {"Z", "X"}  # killed, and its parent has not looked yet


def this_process() -> str:
    """Give a name for this process, different at every call."""
    return f"{_namespace()}.{os.getpid()}.{_start_of(str(os.getpid()))}.{uuid.uuid4().hex}"


def lives(owner: str) -> bool:
    """Say whether the process of that name still runs; one that cannot be seen from here counts as dead."""
    namespace, _, rest = owner.partition(".")
    pid, _, rest = rest.partition(".")
    start = rest.partition(".")[0]
    return namespace == _namespace() and pid.isdigit() and bool(start) and _start_of(pid) == start


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"


def _start_of(pid: str) -> str:
    """Give when a process started, in ticks since the machine did; nothing where there is none, or a dead one only."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return "" if told[0] in _DEAD else told[_START_FIELD]
    except (OSError, IndexError):
        return ""
