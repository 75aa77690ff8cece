"""The demo's second half: the sample cell is lost, restored over HTTP, and compared with what it was."""

import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.cell.layout import load_layout
from app.cell.manifests import Volume
from app.demo.containers import Docker
from app.demo.screen import Screen
from app.demo.snapshot import Facts, Snapshot, differences, snapshot_of_files, snapshot_of_volume
from app.errors import Code, JobError

_EMPTY = 'rm -rf "$1"/* "$1"/.[!.]*'


@dataclass(frozen=True, slots=True)
class Remembered:
    """Hold what the cell's files and each volume looked like."""

    files: Snapshot
    volumes: Mapping[str, Snapshot]


class Disaster:
    """Lose the sample cell, and prove afterwards that it is back; without `docker` its files alone."""

    def __init__(self, screen: Screen, cell: Path, volumes: Iterable[Volume], docker: Docker | None) -> None:
        self._screen = screen
        self._cell = cell
        self._volumes = {f"{volume.service}/{volume.name}": volume for volume in volumes}
        self._docker = docker

    def look(self) -> Remembered:
        """Remember what everything looks like."""
        volumes: dict[str, Snapshot] = {}
        if self._docker is not None:
            volumes = {label: snapshot_of_volume(self._docker, volume) for label, volume in self._volumes.items()}
        return Remembered(snapshot_of_files(self._cell), volumes)

    def strike(self) -> None:
        """Delete every file of the cell, and everything in the volumes."""
        for path in self._cell.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if self._docker is not None:
            for volume in self._volumes.values():
                self._docker("exec", volume.container, "sh", "-c", _EMPTY, "sh", volume.path)
        left = self.look()
        if left.files or any(snapshot.keys() != {"."} for snapshot in left.volumes.values()):
            raise JobError(Code.INTERNAL, "The demo could not empty the sample cell.")

    def compare(self, before: Remembered) -> None:
        """Say that everything is as it was; raise JobError that names what is not."""
        after = self.look()
        saved = _in_a_backup(before.files)
        _check("The cell", saved, _in_a_backup(after.files))
        for label, snapshot in before.volumes.items():
            _check(label, snapshot, after.volumes[label])
        self._screen.say(f"   {len(saved)} files, folders and links of the cell are as they were:")
        self._screen.say("   names, contents, owners, modes, times to the nanosecond, symbolic and hard links.")
        for label, snapshot in before.volumes.items():
            self._screen.say(f"   {label}: {len(snapshot)} files and folders, the same; times of files to the second.")
        gone = len(before.files.keys() - after.files.keys())
        self._screen.say(f"   Not back: {gone} logs, old backups and others, which a backup leaves out.")


def _check(what: str, before: Snapshot, after: Snapshot) -> None:
    if changed := differences(before, after):
        raise JobError(Code.INTERNAL, f"{what} did not come back as before: {'; '.join(changed)}.")


def _in_a_backup(files: Snapshot) -> Snapshot:
    layout = load_layout(None)

    def is_saved(name: str, facts: Facts) -> bool:
        path = name + "/" if stat.S_ISDIR(facts.kind) else name
        return not layout.excludes(path) and layout.component_of(path) is not None

    return {name: facts for name, facts in files.items() if is_saved(name, facts)}
