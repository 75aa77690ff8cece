"""How far a restore got, one JSON line a step, durable before the step it announces begins."""

import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from app.cell.documents import reason
from app.errors import Code, JobError


class Kind(StrEnum):
    """Name what the journal itself is asked about; a caller may note other kinds."""

    OPENED = "opened"
    PLACE = "place"
    SAFETY = "safety"
    PREPARED = "prepared"
    COMPONENT = "component"
    FOLDERS = "folders"
    VOLUME = "volume"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"


_BEGUN = {Kind.COMPONENT, Kind.FOLDERS, Kind.VOLUME}


@dataclass(frozen=True, slots=True)
class Note:
    """Hold one line: what was about to be done, and what whoever comes next must know of it."""

    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def not_listening(_: Note) -> None:
    """Do nothing with a note."""


class Journal:
    """Append notes to a file, and answer from them what is owed; `on_note` hears of each one once it is durable."""

    def __init__(self, path: Path, on_note: Callable[[Note], None] = not_listening) -> None:
        self._path = path
        self._on_note = on_note
        self._notes, self._length = _read(path)
        self._broken = False

    @property
    def notes(self) -> tuple[Note, ...]:
        """Give every note, oldest first."""
        return tuple(self._notes)

    def note(self, kind: str, **facts: Any) -> None:
        """Write one note durably; JobError SWAP_FAILED where the disk does not take it, and the file is as before.

        Where the disk does not take that either, every later note fails: whoever comes next reads what stands there.
        """
        line = json.dumps({"kind": kind, **facts}).encode() + b"\n"
        try:
            self._append(line)
        except OSError as error:
            message = f"The journal of the restore cannot be written: {reason(error)}."
            raise JobError(Code.SWAP_FAILED, message) from error
        note = Note(kind, facts)
        self._notes.append(note)
        self._on_note(note)

    def last(self, kind: str) -> Note | None:
        """Give the latest note of a kind."""
        return next((note for note in reversed(self._notes) if note.kind == kind), None)

    @property
    def committed(self) -> bool:
        """Tell whether the restore is done, so that nothing of it may be put back any more."""
        return self.last(Kind.COMMITTED) is not None

    @property
    def settled(self) -> bool:
        """Tell whether the restore is done or was put back."""
        return self.committed or self.last(Kind.ROLLED_BACK) is not None

    @property
    def owed(self) -> bool:
        """Tell whether something of the cell may have changed that must be put back."""
        return not self.settled and any(note.kind in _BEGUN for note in self._notes)

    def _append(self, line: bytes) -> None:
        if self._broken:
            raise OSError(errno.EIO, "whether an earlier line of it is there is not known")
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, self._length)  # a line that a dying process left behind
            self._write(descriptor, line)
        finally:
            os.close(descriptor)
        self._length += len(line)

    def _write(self, descriptor: int, line: bytes) -> None:
        """Write a whole line durably, or leave the file durably without it."""
        self._broken = True
        try:
            done = 0
            while done < len(line):
                done += os.pwrite(descriptor, line[done:], self._length + done)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, self._length)
            os.fsync(descriptor)
            self._broken = False
            raise
        self._broken = False


def _read(path: Path) -> tuple[list[Note], int]:
    """Read the notes and say where the last whole one ends; what follows was being written when somebody died.

    That may be a line with NULs too: after a power cut a file may be as long as it was to be, without its contents.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise _unreadable(path, reason(error)) from error
    whole = content[: content.rfind(b"\n") + 1]
    *_, last = (b"", *whole.splitlines(keepends=True))
    if b"\0" in last:
        whole = whole.removesuffix(last)
    notes = []
    for line in whole.splitlines():
        try:
            facts = json.loads(line)
            notes.append(Note(facts.pop("kind"), facts))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(path, "a line of it is no note") from error
    return notes, len(whole)


def _unreadable(path: Path, why: str) -> JobError:
    return JobError(Code.ROLLBACK_FAILED, f"The journal {path} of a restore cannot be read: {why}.")
