"""Restores by a process alone: archives to restore, and a machine that has nothing but them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.jobs.records import JobState
from app.settings import Settings
from tests.faults.house import BACKUP_ID, House, make_cell
from tests.faults.restoring import change, furnish, lock_up
from tests.support.service import CLI, PROJECT
from tests.support.trees import Tree, describe

_IMPORTS = """
import os, signal, sys
from app.cell.restoring.journal import Journal
import workers.alone
"""


@dataclass(frozen=True, slots=True)
class Archives:
    """Name an archive with two volumes, one of files alone, one that is encrypted; and the tree that they hold."""

    full: Path
    files: Path
    locked: Path
    tree: Tree


def make_archives(folder: Path) -> Archives:
    """Back up one furnished cell in three ways."""
    root = folder / "cell"
    make_cell(root)
    furnished = House(root, Settings(cell_root=root, state_dir=folder / "state"))
    furnish(furnished)
    made = {}
    for way, backing_up in (("full", _back_up), ("files", _back_up_files), ("locked", lock_up)):
        settings = furnished.settings.model_copy(update={"backup_dir": folder / way})
        asyncio.run(backing_up(House(root, settings, memory_engine=furnished.memory_engine)))
        (made[way],) = (folder / way).glob(f"{BACKUP_ID}.tar.gz*")
    return Archives(made["full"], made["files"], made["locked"], describe(root))


async def _back_up(house: House, **request: Any) -> None:
    job = await house.back_up(**request)
    assert job.state is JobState.SUCCEEDED, job.error


async def _back_up_files(house: House) -> None:
    await _back_up(house, services=[])


def make_changed_cell(root: Path, state: Path) -> Tree:
    """Make the cell of the archives as it is some time later."""
    make_cell(root)
    house = House(root, Settings(cell_root=root, state_dir=state))
    furnish(house)
    change(house)
    return describe(root)


@dataclass(frozen=True, slots=True)
class Machine:
    """Be a machine without Redis, a service or, unless `docker_host` names one, Docker; it lies in one folder."""

    home: Path
    docker_host: str | None = None

    @property
    def cell(self) -> Path:
        return self.home / "cell"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(PROJECT),
            "DOCKER_HOST": f"unix://{self.home}/no-engine" if self.docker_host is None else self.docker_host,
            "CELL_BACKUP_STATE_DIR": str(self.home / "state"),
            "CELL_BACKUP_BACKUP_DIR": str(self.home / "archives"),
            "CELL_BACKUP_SCRYPT_N": "1024",
        }

    def restore(
        self, archive: Path, *options: str | Path, data: bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `cell-backup restore` for the cell; step 8 is not done unless the options say so."""
        return self.run([*CLI, "restore", archive, "--cell-root", self.cell, *options], data=data)

    def run(self, command: Sequence[str | Path], *, data: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        words = [str(word) for word in command]
        if "--regenerate" not in words:
            words += ["--regenerate", "off"]
        done = subprocess.run(
            words,
            env=self.environment,
            cwd=self.home,
            input=b"" if data is None else data,
            capture_output=True,
            check=False,
            timeout=120,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def restore_meddled(self, meddling: str, archive: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a restore in a process in which something was meddled with first: Python that knows `Journal`."""
        script = f"{_IMPORTS}\n{meddling}\nsys.exit(workers.alone.main())"
        return self.run([sys.executable, "-c", script, "restore", archive, "--cell-root", self.cell, *options])
