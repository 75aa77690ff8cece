"""Restores a cell and dies at the first journal note of a kind: `python -m …dying ROOT ARCHIVE KIND`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from app.cell.restoring.journal import Note
from tests.unit.cell.restoring.support import restore


def die_at(root: Path, archive: bytes, kind: str) -> None:
    """Have another process restore and die."""
    file = root.parent / "archive"
    file.write_bytes(archive)
    done = subprocess.run([sys.executable, "-m", __name__, str(root), str(file), kind], check=False)
    assert done.returncode == -signal.SIGKILL


def main() -> None:
    root, archive, kind = sys.argv[1:]

    def die(note: Note) -> None:
        if note.kind == kind:
            os.kill(os.getpid(), signal.SIGKILL)

    restore(Path(root), Path(archive).read_bytes(), on_note=die)


if __name__ == "__main__":
    main()
