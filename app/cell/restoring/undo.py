"""Puts the cell's files back as they were before a swap, wherever that swap was when it ended.

What was done is read from what is there, not from notes, so that a process may die between any two system calls, in the
swap or in here. Of a path whose number is n:

    staged/n    undo/n      the path        so                           and it is put back by
    there       -           old, or none    nothing was done             nothing
    there       there       old             it has a second name         undo/n -> path, which changes nothing
    there       there       none            the old one is set aside     undo/n -> path
    -           there       new             both were renamed            path -> staged/n, undo/n -> path
    -           -           new             there was no old one         path -> staged/n
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count

from app.cell.documents import printable, reason
from app.cell.restoring.attributes import set_folder
from app.cell.restoring.operations import Action, Operation, Operations
from app.cell.restoring.places import Place
from app.cell.restoring.reaching import Reach, is_folder
from app.errors import Code, JobError

_MAX_NAME = 255


class Undo:
    """Undo operations, last one first; what fails is remembered, and the rest is put back nevertheless.

    A folder that stands where a file was, and that somebody put files into, gets `suffix` at the end of its name.
    """

    def __init__(self, reach: Reach, places: dict[str, Place], *, suffix: str) -> None:
        self._reach = reach
        self._places = places
        self._suffix = suffix
        self._failed: list[str] = []
        self._warnings: dict[str, str] = {}

    def run(self, operations: Operations) -> tuple[str, ...]:
        """Put everything back and say what is not quite as it was.

        Raises JobError ROLLBACK_FAILED at the end where something could not be put back.
        """
        self._reach.forget()
        for step in reversed(operations.steps):
            with self._noting(step.path):
                self._undo(step)
        self._reach.forget()
        for path in sorted(operations.folders, reverse=True):  # children first: a parent's mode may close them off
            with self._noting(path):
                if not set_folder(self._reach.folder(path), operations.folders[path]):
                    why = "owner, mode and times of the folder may not be set"
                    self._warnings[path] = f"{printable(path)}: {why}."
        if self._failed:
            more = f", and {len(self._failed) - 1} more" if len(self._failed) > 1 else ""
            raise JobError(Code.ROLLBACK_FAILED, f"The cell could not be put back at {self._failed[0]}{more}.")
        return tuple(self._warnings.values())

    def _undo(self, step: Operation) -> None:
        match step.action:
            case Action.SET_ASIDE:
                self._bring_back(step)
            case Action.PUT:
                self._take_out(step)
                self._bring_back(step)
            case Action.MAKE_FOLDER:
                self._remove_folder(step.path)
            case Action.REMOVE_FOLDER:
                here, name = self._reach.parent(step.path)
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=here)

    def _take_out(self, step: Operation) -> None:
        """Rename the new file back to its staged one."""
        place, number = self._places[step.place], str(step.number)
        if _is_there(place.staged, number):
            return
        self._rename_folder(step.path)
        if self._reach.look(step.path) is not None:
            here, name = self._reach.parent(step.path)
            os.rename(name, number, src_dir_fd=here, dst_dir_fd=place.staged)
        else:
            # somebody removed the new file: a stand-in says so, lest the old one be taken for it the next time
            os.close(os.open(number, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=place.staged))

    def _bring_back(self, step: Operation) -> None:
        """Rename the old file back to where it was."""
        place, number = self._places[step.place], str(step.number)
        if _is_there(place.undo, number):
            self._rename_folder(step.path)
            here, name = self._reach.parent(step.path)
            os.rename(number, name, src_dir_fd=place.undo, dst_dir_fd=here)

    def _remove_folder(self, path: str) -> None:
        if not is_folder(self._reach.look(path)):
            return
        here, name = self._reach.parent(path)
        try:
            os.rmdir(name, dir_fd=here)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            self._warnings[path] = f"{printable(path)}: the new folder stays, because somebody put files into it."

    def _rename_folder(self, path: str) -> None:
        """Rename a folder that somebody put files into where a file is to be; nothing happens where there is none."""
        if not is_folder(self._reach.look(path)):
            return
        here, name = self._reach.parent(path)
        aside = next(other for other in self._names_beside(name) if not _is_there(here, other))
        os.rename(name, aside, src_dir_fd=here, dst_dir_fd=here)
        self._reach.forget()
        why = f"somebody put files into the new folder, which is now {printable(aside)}"
        self._warnings[path] = f"{printable(path)}: {why}."

    def _names_beside(self, name: str) -> Iterator[str]:
        for suffix in chain([self._suffix], (f"{self._suffix}-{number}" for number in count(2))):
            yield os.fsdecode(os.fsencode(name)[: _MAX_NAME - len(suffix)]) + suffix

    @contextmanager
    def _noting(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed.append(f"{printable(path) or 'its root'}: {reason(error)}")


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
