"""Keeps the cell's files of an archive beside the cell, ready to be renamed into it."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from app.archive.guard import normal_name
from app.archive.headers import DIRECTORY, HARD_LINK, SYMLINK, Member
from app.archive.receiving import Taking
from app.cell.documents import printable
from app.cell.layout import Layout
from app.cell.patterns import ELSEWHERE, RESERVED
from app.cell.restoring.attributes import Attributes, of_member
from app.cell.restoring.places import STAGED, folder_of
from app.cell.restoring.remembering import Remembered
from app.cell.restoring.staged_file import SET_ID, StagedFile, check_room, dress_link, storing
from app.cell.restoring.tree import Sort, Staged, Tree
from app.cell.restoring.workspace import Workspace
from app.errors import ArchiveError, Code

_MAX_TOLD = 1000
_MAX_WARNINGS = 100
_PIECE = 1 << 20


class Staging:
    """Receive the cell's files while an archive is verified (a `Receiver`), those of every component.

    `found` names the components that have files; `ignored` the members that belong to none (the first 1 000, of
    `ignored_count`); `warnings` say what could not be kept. Raises JobError SPACE_MISSING before a disk is full,
    SWAP_FAILED where it fails, ArchiveError ARCHIVE_HOSTILE for a path that is no path inside the cell, and where all
    names and extended attributes take too much memory. `leave_out` has folders and files that a restore leaves alone.
    """

    def __init__(self, workspace: Workspace, layout: Layout, *, leave_out: Iterable[Path] = ()) -> None:
        self.workspace = workspace
        self.layout = layout
        self.leave_out = tuple(leave_out)
        self.tree = Tree()
        self.found: set[str] = set()
        self.ignored: list[str] = []
        self.ignored_count = 0
        self.warnings: list[str] = []
        self._warned = 0
        self._numbers = 0
        self._incoming: _Incoming | None = None
        self._remembered = Remembered()
        self._copies: dict[tuple[int, str], Staged] = {}
        self._beside = _inside(workspace.root, self.leave_out)
        workspace.at_end(self.close)

    def take(self, member: Member) -> Taking | None:
        """Stage a member that belongs to the cell; give what takes the contents of a file."""
        path = _path_of(member)
        if path == "":
            return None
        is_folder = member.kind == DIRECTORY or member.name.endswith(b"/")
        below = path + "/" if is_folder else path
        component = self.layout.component_of(below)
        if not self._belongs(path, below, component, is_folder=is_folder):
            return None
        if component is not None and not is_folder:
            self.found.add(component)
        attributes = of_member(member)
        self._remembered.add(path, attributes, member.link)
        with storing(path):
            if is_folder:
                self.tree.entries[path] = Staged(path, Sort.FOLDER, component, attributes)
                return None
            return self._stage(path, component, member, attributes)

    def staged_file(self, path: str) -> Path | None:
        """Give where a path of the archive is staged until a swap begins; None where it has no file or link there."""
        entry = self.tree.entries.get(path)
        if entry is None or entry.sort is Sort.FOLDER:
            return None
        return self.workspace.root / folder_of(entry.place) / STAGED / str(entry.number)

    def next_number(self) -> int:
        """Give a number that no staged file has."""
        self._numbers += 1
        return self._numbers

    def _belongs(self, path: str, below: str, component: str | None, *, is_folder: bool) -> bool:
        top, _, _ = path.partition("/")
        foreign = top in RESERVED or ELSEWHERE in path.split("/") or any(f"{path}/".startswith(x) for x in self._beside)
        has_use = component is not None or (is_folder and bool(self.layout.components_below(path)))
        if has_use and not foreign and not self.layout.excludes(below):
            return True
        self.ignored_count += 1
        if len(self.ignored) < _MAX_TOLD:
            self.ignored.append(printable(path))
        return False

    def _stage(self, path: str, component: str | None, member: Member, attributes: Attributes) -> Taking | None:
        if path in self.tree.entries:
            raise ArchiveError(Code.ARCHIVE_HOSTILE, f"{printable(path)} is there twice.")
        if member.kind == HARD_LINK:
            self._link(path, component, member)
            return None
        place = self.workspace.boundaries.place_of(path.rpartition("/")[0])
        entry = Staged(path, Sort.FILE, component, attributes, place, number := self.next_number(), number)
        if member.kind == SYMLINK:
            self._symlink(replace(entry, sort=Sort.SYMLINK, target=member.link))
            return None
        return self._new_file(entry)

    def _new_file(self, entry: Staged) -> "_Incoming":
        self._incoming = _Incoming(self, entry, StagedFile(self.workspace.place(entry.place).staged, str(entry.number)))
        return self._incoming

    def _symlink(self, entry: Staged) -> None:
        folder = self.workspace.place(entry.place).staged
        check_room(folder)
        os.symlink(entry.target, str(entry.number).encode(), dir_fd=folder)
        refused, owned = dress_link(folder, str(entry.number), entry.attributes)
        self.finished(entry, refused, owner_kept=owned)

    def _link(self, path: str, component: str | None, member: Member) -> None:
        """Give a file that is staged already one more name; where that is on another file system, copy it."""
        first = self.tree.entries.get(os.fsdecode(normal_name(member.link)))
        if first is None or first.sort is not Sort.FILE:
            self.tree.kept.add(path)
            self.warn(f"{printable(path)} is another name of a file that is not restored, and is left as it is.")
            return
        place = self.workspace.boundaries.place_of(path.rpartition("/")[0])
        entry = replace(
            first, path=path, component=component, place=place, number=self.next_number(), is_second_name=True
        )
        near = first if place == first.place else self._copies.get((first.group, place))
        folder = self.workspace.place(place).staged
        if near is not None:
            os.link(str(near.number), str(entry.number), src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            self.tree.entries[path] = replace(entry, group=near.group)
            return
        self.warn(f"{printable(path)} is a copy of {printable(first.path)}: they are on different file systems.")
        self._copies[first.group, place] = copy = replace(entry, group=entry.number)
        self._new_file(copy).copy(self.workspace.place(first.place).staged, str(first.number), first)

    def finished(self, entry: Staged, refused: list[str], *, owner_kept: bool) -> None:
        """Take note of a file or link that is whole and has its attributes, but for the refused ones."""
        if refused:
            xattrs = {name: value for name, value in entry.attributes.xattrs.items() if name not in refused}
            entry = replace(entry, attributes=replace(entry.attributes, xattrs=xattrs))
            self.warn(f"{printable(entry.path)} loses {', '.join(map(printable, refused))}, which were refused.")
        if not owner_kept:
            entry = replace(entry, attributes=replace(entry.attributes, mode=entry.attributes.mode & ~SET_ID))
            if self.tree.owners_kept:
                self.tree.owners_kept = False
                self.warnings.append("Owners are not kept, because the service does not run as root.")
        self.tree.entries[entry.path] = entry

    def warn(self, message: str) -> None:
        """Tell people something, a bounded number of times."""
        self._warned += 1
        if self._warned <= _MAX_WARNINGS:
            self.warnings.append(message)

    def close(self) -> None:
        """Let go of a file whose contents ended early."""
        if self._incoming is not None:
            self._incoming.file.close()


class _Incoming:
    """Take the contents of one file (a `Taking`)."""

    def __init__(self, staging: Staging, entry: Staged, file: StagedFile) -> None:
        self.file = file
        self._staging = staging
        self._entry = entry
        self._end = 0

    def write(self, offset: int, piece: memoryview) -> None:
        """Keep a piece."""
        with storing(self._entry.path):
            self.file.write(offset, piece)
        self._end = max(self._end, offset + len(piece))

    def close(self, size: int, digest: str) -> None:
        """Keep the file; it is whole."""
        self._finish(replace(self._entry, size=size, digest=digest))

    def damaged(self) -> None:
        """Keep what there is of the file."""
        self._staging.warn(f"{printable(self._entry.path)} is damaged in the archive.")
        self._finish(replace(self._entry, size=self._end))

    def copy(self, folder: int, name: str, first: Staged) -> None:
        """Take the contents of another staged file."""
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as source:
            while piece := source.read(_PIECE):
                self.write(self._end, memoryview(piece))
        self._finish(replace(self._entry, size=first.size, digest=first.digest))

    def _finish(self, entry: Staged) -> None:
        with storing(entry.path):
            refused, owned = self.file.finish(entry.size, entry.attributes)
        self._staging.finished(entry, refused, owner_kept=owned)


def _path_of(member: Member) -> str:
    """Give the member's path inside the cell, empty for the root; the guard has refused all others already."""
    name = normal_name(member.name)
    if name.startswith(b"/") or b".." in name.split(b"/") or b"\0" in name:
        raise ArchiveError(Code.ARCHIVE_HOSTILE, f"{printable(os.fsdecode(name))} is no path inside the cell.")
    return os.fsdecode(name)


def _inside(root: Path, folders: Iterable[Path]) -> tuple[str, ...]:
    """Give the paths, each with a closing slash, of those folders (and files) that lie inside the root."""
    real = [os.path.relpath(os.path.realpath(folder), root) for folder in folders]
    return tuple(path + "/" for path in real if path != "." and not path.startswith("../") and path != "..")
