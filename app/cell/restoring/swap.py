"""Swaps staged files into the cell by rename, one component after another, so that each step can be undone."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from app.cell.documents import printable, reason
from app.cell.restoring.attributes import Attributes, of_file, set_folder
from app.cell.restoring.changes import FilePlan
from app.cell.restoring.journal import Kind
from app.cell.restoring.operations import Action, Operation, Operations, write_operations
from app.cell.restoring.reaching import is_folder
from app.cell.restoring.staged_file import storing
from app.cell.restoring.workspace import Workspace
from app.errors import Code, JobError

_STAYS = {errno.ENOTEMPTY, errno.EEXIST}


class Swap:
    """Carry out a plan: `prepare`, `apply` for each component, `finish_folders`; then `commit`, or `roll_back` instead.

    All raise JobError SWAP_FAILED, naming the path; from the first `apply` on, `roll_back` is owed then. `warnings` say
    what folders could not be given.
    """

    def __init__(self, workspace: Workspace, plan: FilePlan) -> None:
        self._workspace = workspace
        self._reach = workspace.reach
        self._plan = plan
        self.warnings: list[str] = []

    def prepare(self) -> None:
        """Make the staged files and the list of steps durable; nothing of the cell changes yet."""
        workspace, steps = self._workspace, self._plan.steps
        with storing("what is to be replaced"):
            for place in {step.place for step in steps}.union(workspace.places):
                self._drop_what_stays(place)
        if not steps and not self._plan.folders:
            return
        folders = {path: before for path in self._touched() if (before := self._before(path)) is not None}
        with storing("the list of steps"):
            write_operations(workspace.folder, Operations(folders, steps))
            workspace.sync()
        workspace.journal.note(Kind.PREPARED)

    def apply(self, component: str, keep_going: Callable[[], None] = lambda: None) -> None:
        """Swap in one component's files; components come in layout order, one without changes is quickly done."""
        mine = [step for step in self._plan.steps if step.component == component]
        if not mine:
            return
        self._workspace.journal.note(Kind.COMPONENT, name=component)
        self._reach.forget()  # since the last step anything may have been exchanged
        for step in mine:
            keep_going()
            with _at(step.path):
                self._do(step)

    def finish_folders(self) -> None:
        """Give folders their owner, mode, times and xattrs, once no file in them changes any more."""
        if not self._plan.folders:
            return
        self._workspace.journal.note(Kind.FOLDERS)
        self._reach.forget()
        for path in sorted(self._plan.folders, reverse=True):  # children first: a parent's mode may close them off
            with _at(path):
                if not set_folder(self._reach.folder(path), self._plan.folders[path]):
                    self.warnings.append(f"{printable(path)}: owner, mode or times of the folder could not be set.")

    def roll_back(self) -> tuple[str, ...]:
        """Put everything back (`Workspace.roll_back`)."""
        return self._workspace.roll_back()

    def commit(self) -> None:
        """Make it final (`Workspace.commit`)."""
        self._workspace.commit()

    def _drop_what_stays(self, place: str) -> None:
        """Remove the staged files that the cell has already, so that they need not be made durable."""
        needed = {str(step.number) for step in self._plan.steps if step.action is Action.PUT}
        staged = self._workspace.place(place).staged
        for name in set(os.listdir(staged)) - needed:  # noqa: PTH208 - a descriptor
            os.unlink(name, dir_fd=staged)

    def _touched(self) -> set[str]:
        """Name every folder whose entries or attributes change."""
        parents = {step.path.rpartition("/")[0] for step in self._plan.steps}
        removed = {step.path for step in self._plan.steps if step.action is Action.REMOVE_FOLDER}
        return parents | removed | set(self._plan.folders)

    def _before(self, path: str) -> Attributes | None:
        """Read what a folder is like now; None where it will be made, or stands where a file is now."""
        with _at(path):
            if path and not is_folder(self._reach.look(path)):
                return None
            folder = self._reach.folder(path)
            return of_file(folder, os.fstat(folder))

    def _do(self, step: Operation) -> None:
        here, name = self._reach.parent(step.path)
        match step.action:
            case Action.SET_ASIDE:
                self._set_aside(step, here, name)
            case Action.PUT:
                self._keep(step, here, name)
                staged = self._workspace.place(step.place).staged
                os.rename(str(step.number), name, src_dir_fd=staged, dst_dir_fd=here)
            case Action.MAKE_FOLDER:
                os.mkdir(name, 0o700, dir_fd=here)
            case Action.REMOVE_FOLDER:
                self._remove_folder(here, name)

    def _set_aside(self, step: Operation, here: int, name: str) -> None:
        """Keep whatever is there now, be it another file than was planned with; nothing may be there any more.

        A folder that is there was none before, or was to be empty by now: what is in it, no safety archive has.
        """
        if is_folder(self._reach.look(step.path)):
            raise self._late(step.path)
        undo = self._workspace.place(step.place).undo
        with suppress(FileNotFoundError):
            os.rename(name, str(step.number), src_dir_fd=here, dst_dir_fd=undo)

    def _late(self, folder: str) -> JobError:
        inside = sorted(os.listdir(self._reach.folder(folder)))  # noqa: PTH208 - a descriptor
        why = f"{printable(inside[0])} came into it" if inside else "it has become a folder"
        message = f"{printable(folder)} could not be replaced: {why} after the restore was planned."
        return JobError(Code.SWAP_FAILED, message, hint="Restore again: a new plan looks at what is there now.")

    def _keep(self, step: Operation, here: int, name: str) -> None:
        """Do the same by a second name, so that there is no instant without the file, where that can be had."""
        undo = self._workspace.place(step.place).undo
        try:
            os.link(name, str(step.number), src_dir_fd=here, dst_dir_fd=undo, follow_symlinks=False)
        except FileNotFoundError:
            pass
        except OSError:  # a folder, or somebody else's file that the kernel lets nobody link
            self._set_aside(step, here, name)

    def _remove_folder(self, here: int, name: str) -> None:
        try:
            os.rmdir(name, dir_fd=here)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in _STAYS:  # somebody put a file into it meanwhile: then it stays
                raise
        self._reach.forget()


@contextmanager
def _at(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = printable(path) or "the cell root"
        raise JobError(Code.SWAP_FAILED, f"{where} could not be swapped in: {reason(error)}.") from error
