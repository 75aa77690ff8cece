"""What the tests of the cell room share."""

import ctypes
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.cell.files import Inventory

_CAPABILITY_VERSION_3 = 0x20080522
_DAC_OVERRIDE = 1 << 1
_DAC_READ_SEARCH = 1 << 2


def write(path: Path, content: str | bytes = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def paths(inventory: Inventory) -> dict[str, list[str]]:
    return {item.name: [entry.path for entry in item.entries] for item in inventory.components}


@contextmanager
def closed_doors_count() -> Iterator[None]:
    """Let file modes count for root too: without its right to pass over them, in this thread, for this block."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice 32 bits
    assert libc.capget(header, held) == 0
    fewer = (ctypes.c_uint32 * 6)(*held)
    fewer[0] &= ~(_DAC_OVERRIDE | _DAC_READ_SEARCH) & 0xFFFFFFFF
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


@contextmanager
def closed(path: Path, mode: int = 0) -> Iterator[None]:
    """Take away what the owner may do with a path, for this block."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        with closed_doors_count():
            yield
    finally:
        path.chmod(stat.S_IMODE(before))
