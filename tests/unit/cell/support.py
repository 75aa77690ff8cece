"""What the tests of the cell room share."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.cell.files import Inventory

_NOBODY = 65534


def write(path: Path, content: str | bytes = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def paths(inventory: Inventory) -> dict[str, list[str]]:
    return {item.name: [entry.path for entry in item.entries] for item in inventory.components}


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """Give a directory to work in and, where the tests run as root, only the rights of an ordinary user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, _NOBODY, _NOBODY)
        os.setegid(_NOBODY)
        os.seteuid(_NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)
            os.setegid(0)
