"""The folder in the cell root where one restore works, and what a dead process left in it."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from app.archive.parts import Part, PartKind
from app.cell.documents import reason
from app.cell.restoring.journal import Journal, Kind, Note, not_listening
from app.cell.restoring.locking import LOCK, failing, locked, real_root
from app.cell.restoring.operations import read_operations
from app.cell.restoring.places import (
    HERE,
    Boundaries,
    Place,
    clear_place,
    make_place,
    open_place,
    remove_elsewhere,
    sync,
)
from app.cell.restoring.reaching import Reach, times_kept
from app.cell.restoring.undo import Undo
from app.errors import Code, JobError

logger = logging.getLogger(__name__)

OnNote = Callable[[Note], None]
JOURNAL = "journal"


class Workspace:
    """Hold the folder of one restore: its journal, and a place for new files and for old ones on every file system.

    `places` are those that are open, by the folder where they begin; `place` opens one.
    """

    def __init__(self, root: Path, on_note: OnNote) -> None:
        self.root = root
        self.folder = root / HERE
        self.journal = Journal(self.folder / JOURNAL, on_note)
        self.boundaries = Boundaries(root)
        self.reach = Reach(root)
        self.places: dict[str, Place] = {}
        self._endings: list[Callable[[], None]] = []

    def place(self, name: str) -> Place:
        """Give a place, made when it is asked for first; OSError where it cannot be made."""
        if name not in self.places:
            if name not in {"", *self._elsewhere()}:
                self.journal.note(Kind.PLACE, path=name)
            make_place(self.reach, name)
            place = open_place(self.reach, name)
            if not any(place.is_same(other) for other in self.places.values()):
                clear_place(place)
            self.places[name] = place
        return self.places[name]

    def note_safety(self, backup_id: str, sealed_key: str | None) -> None:
        """Write down which archive holds what is about to be replaced; `sealed_key` opens it, None for a plain one."""
        self.journal.note(Kind.SAFETY, backup_id=backup_id, key=sealed_key)

    def note_volume(self, part: Part) -> None:
        """Write down that a volume is about to be replaced."""
        self.journal.note(Kind.VOLUME, part=asdict(part))

    def roll_back(self) -> tuple[str, ...]:
        """Put the cell's files back as they were and note that nothing is owed any more; give what to tell people.

        Volumes are the caller's to put back, before this. May be called again and again, whatever was done.
        Raises JobError ROLLBACK_FAILED; then as much as could be is back, and the workspace stays.
        """
        if self.journal.committed:
            raise JobError(Code.ROLLBACK_FAILED, f"The restore in {self.folder} is done, which cannot be undone.")
        warnings: tuple[str, ...] = ()
        if self.journal.last(Kind.PREPARED) is not None:
            try:
                operations = read_operations(self.folder)
                for name in {step.place for step in operations.steps} - self.places.keys():
                    self.places[name] = open_place(self.reach, name)
                opened = self.journal.last(Kind.OPENED)
                suffix = f".cell-backup-{opened.facts['job_id']}" if opened else ".cell-backup"
                warnings = Undo(self.reach, self.places, suffix=suffix).run(operations)
                self.sync()
            except (OSError, ValueError, KeyError, TypeError) as error:
                message = f"The restore in {self.folder} cannot be undone: {error}."
                raise JobError(Code.ROLLBACK_FAILED, message) from error
        try:
            self.journal.note(Kind.ROLLED_BACK)
        except JobError as error:
            raise JobError(Code.ROLLBACK_FAILED, error.message) from error
        return warnings

    def commit(self) -> None:
        """Make the new files durable and note that the restore is done. Raises JobError SWAP_FAILED."""
        try:
            self.sync()
        except OSError as error:
            message = f"The restored files could not be made durable: {reason(error)}."
            raise JobError(Code.SWAP_FAILED, message) from error
        self.journal.note(Kind.COMMITTED)

    def sync(self) -> None:
        """Make everything durable on the file systems where files are staged; OSError where a disk refuses."""
        for place in self.places.values():
            sync(place.staged)

    def at_end(self, ending: Callable[[], None]) -> None:
        """Have something called when the workspace closes."""
        self._endings.append(ending)

    def close(self) -> None:
        """Let go of every descriptor."""
        for ending in self._endings:
            ending()
        for place in self.places.values():
            place.close()
        self.places.clear()
        self.reach.close()

    def tidy(self) -> None:
        """Remove what this restore keeps beside the cell, unless a rollback is owed."""
        if self.journal.owed:
            return
        try:
            self.remove()
        except OSError as error:
            logger.warning("%s cannot be removed, the next restore tries again: %s", self.folder, reason(error))

    def remove(self) -> None:
        """Remove the folder; nothing happens where it is gone. OSError where that fails."""
        if self.reach.look(HERE) is None:
            return
        self.clear()
        shutil.rmtree(self.folder)
        _remove_if_empty(self.folder.parent)

    def clear(self) -> None:
        """Remove all but the lock, the journal last: until then it says where something is. OSError as above."""
        for place in self._elsewhere():
            remove_elsewhere(self.reach, place)
        for item in sorted(self.folder.iterdir(), key=lambda path: path.name == JOURNAL):
            if item.is_dir():
                shutil.rmtree(item)
            elif item.name != LOCK:
                item.unlink()

    def _elsewhere(self) -> list[str]:
        return [note.facts["path"] for note in self.journal.notes if note.kind == Kind.PLACE]


@contextmanager
def open_workspace(root: Path, *, job_id: str, backup_id: str, on_note: OnNote = not_listening) -> Iterator[Workspace]:
    """Make `<root>/.cell-backup/restore` for one restore; it disappears with the block unless a rollback is owed.

    Raises InputError CELL_ROOT_MISSING or CELL_ROOT_UNREADABLE; JobError CELL_BUSY where another process has it, or
    where a restore that was cut off is still to be put back (see `unfinished`), SWAP_FAILED where it cannot be made.
    """
    real = real_root(root)
    with locked(real):
        _tidy(real)
        with failing(real):
            workspace = Workspace(real, on_note)
        try:
            workspace.journal.note(Kind.OPENED, job_id=job_id, backup_id=backup_id)
            with failing(real):
                workspace.place("")
                _make_durable(workspace.reach)
            yield workspace
        finally:
            workspace.tidy()
            workspace.close()


class Unfinished:
    """Hold what a dead process left: a restore that is either done (`committed`) or to be put back."""

    def __init__(self, workspace: Workspace) -> None:
        journal = workspace.journal
        opened, safety = journal.last(Kind.OPENED), journal.last(Kind.SAFETY)
        self.job_id: str = opened.facts["job_id"] if opened else ""
        self.backup_id: str = opened.facts["backup_id"] if opened else ""
        self.committed = journal.committed
        self.safety_id: str | None = safety.facts["backup_id"] if safety else None
        self.safety_key: str | None = safety.facts["key"] if safety else None
        self.volumes = tuple(_part(note) for note in journal.notes if note.kind == Kind.VOLUME)
        self._workspace = workspace

    @property
    def containers(self) -> frozenset[str]:
        """Name the containers whose volumes are to be put back."""
        return _containers(self._workspace.journal)

    def finish(self) -> None:
        """Let a restore that is done end: the files that it replaced go."""
        self._workspace.tidy()

    def roll_back(self) -> tuple[str, ...]:
        """Do as `Workspace.roll_back` does."""
        return self._workspace.roll_back()


@contextmanager
def unfinished(root: Path, *, on_note: OnNote = not_listening) -> Iterator[Unfinished | None]:
    """Look for a restore whose process died; None where there is none, or where it had changed nothing.

    Its workspace disappears with the block once it was rolled back, or with `finish`.
    Raises JobError CELL_BUSY where the restore's process lives, ROLLBACK_FAILED where its journal cannot be read.
    """
    real = Path(os.path.realpath(root))
    with failing(real):
        is_there = (real / HERE).is_dir()
        if not is_there:
            _remove_if_empty((real / HERE).parent)
    if not is_there:
        yield None
        return
    with locked(real):
        with failing(real):
            workspace = Workspace(real, on_note)
        journal = workspace.journal
        try:
            yield Unfinished(workspace) if journal.owed or journal.committed else None
        finally:
            if not journal.committed:
                workspace.tidy()
            workspace.close()


def owed_safety(root: Path) -> str | None:
    """Name the safety archive that putting the cell back needs, be the restore cut off or still running; None else.

    Looks only: takes no lock, changes nothing, and takes a journal that cannot be read for none.
    """
    journal = _glance(root)
    safety = None if journal is None or journal.settled else journal.last(Kind.SAFETY)
    return None if safety is None else safety.facts.get("backup_id")


def owed_containers(root: Path) -> frozenset[str]:
    """Name the containers whose volumes a restore, cut off or still running, has begun to replace; as above."""
    journal = _glance(root)
    return frozenset() if journal is None else _containers(journal)


def _glance(root: Path) -> Journal | None:
    try:
        return Journal(root / HERE / JOURNAL)
    except JobError:
        return None


def _containers(journal: Journal) -> frozenset[str]:
    if journal.settled:
        return frozenset()
    parts = [_part(note) for note in journal.notes if note.kind == Kind.VOLUME]
    return frozenset(part.container for part in parts if part.container is not None)


def _remove_if_empty(folder: Path) -> None:
    """Remove the folder around the workspace, unless it is not there or somebody keeps something of their own in it."""
    if not folder.is_dir():
        return
    above = Reach(folder.parent)
    try:
        with times_kept(above.folder("")), suppress(OSError):
            folder.rmdir()
    finally:
        above.close()


def _part(note: Note) -> Part:
    facts = dict(note.facts["part"])
    return Part(PartKind(facts.pop("kind")), **facts)


def _tidy(root: Path) -> None:
    """Clear what an earlier restore left that owes nothing."""
    with failing(root):
        workspace = Workspace(root, not_listening)
        try:
            if workspace.journal.owed:
                message = f"A restore of {root} was cut off, and what it replaced is still to be put back."
                hint = "Start the service, or run the command again: it does that first."
                raise JobError(Code.CELL_BUSY, message, hint=hint)
            workspace.clear()
        finally:
            workspace.close()


def _make_durable(reach: Reach) -> None:
    """Make the way to the journal durable."""
    for folder in (HERE, HERE.partition("/")[0], ""):
        os.fsync(reach.folder(folder))
