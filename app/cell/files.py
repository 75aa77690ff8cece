"""The cell's files as they stand on disk, grouped into components."""

import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from app.archive.files import Entry
from app.cell.documents import printable, reason
from app.cell.layout import REST_FOLDERS, Layout
from app.cell.walk import Walk
from app.errors import Code, InputError, PartError


@dataclass(frozen=True, slots=True)
class ComponentFiles:
    """Hold what one component has on disk, parents before children; `faults` say what could not be listed."""

    name: str
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()
    faults: tuple[PartError, ...] = ()


class Totals(NamedTuple):
    """Count regular files and the bytes in them; a file with several names (hard links) counts once."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hold the components that have anything, in restore order."""

    components: tuple[ComponentFiles, ...]

    def totals(self) -> Totals:
        """Estimate what an archive of these components will hold."""
        regular = [e.stat for c in self.components for e in c.entries if stat.S_ISREG(e.stat.st_mode)]
        sizes = {(item.st_dev, item.st_ino): item.st_size for item in regular}
        return Totals(len(sizes), sum(sizes.values()))


def check_cell_root(root: Path) -> None:
    """Raise InputError CELL_ROOT_MISSING, CELL_ROOT_UNREADABLE or CELL_ROOT_NOT_A_CELL where no cell can be read."""
    try:
        with os.scandir(root):
            is_cell = (root / "config").is_dir()
    except FileNotFoundError as error:
        raise InputError(Code.CELL_ROOT_MISSING, f"The cell root {root} does not exist.") from error
    except NotADirectoryError as error:
        raise InputError(Code.CELL_ROOT_NOT_A_CELL, f"The cell root {root} is not a folder.") from error
    except OSError as error:
        message = f"The cell root {root} cannot be read: {reason(error)}."
        raise InputError(Code.CELL_ROOT_UNREADABLE, message) from error
    if not is_cell:
        raise InputError(Code.CELL_ROOT_NOT_A_CELL, f"The cell root {root} has no folder config/.")


def take_inventory(
    root: Path, layout: Layout, *, chosen: Collection[str] | None = None, leave_out: Iterable[Path] = ()
) -> Inventory:
    """Walk the cell root once, following no links, and group what is there into the chosen components (None: all).

    `leave_out` names directories that are no part of the cell although they may lie inside its root. A directory goes
    to the first component that has it or anything inside it, so that each one appears once, before its children.
    A component that has nothing is absent, unless it was chosen by name: then it says so in a warning.
    Raises InputError as `check_cell_root` does, and INVALID_SETTING where `leave_out` names config/ or data/.
    """
    check_cell_root(root)
    wanted = [name for name in layout.names if chosen is None or name in chosen]
    walk = Walk(root, layout, wanted, identities(root, leave_out))
    walk.run()
    entries = _by_component(walk.found, wanted)
    grouped = [
        ComponentFiles(name, tuple(entries[name]), tuple(walk.warnings[name]), tuple(walk.faults[name]))
        for name in wanted
    ]
    if chosen is None:
        return Inventory(tuple(item for item in grouped if item.entries or item.warnings or item.faults))
    return Inventory(tuple(_said(item) for item in grouped))


def _said(item: ComponentFiles) -> ComponentFiles:
    if item.entries or item.warnings or item.faults:
        return item
    return ComponentFiles(item.name, (), (f"Nothing in the cell belongs to '{item.name}'.",))


def identities(root: Path, leave_out: Iterable[Path]) -> set[tuple[int, int]]:
    """Give device and inode of the directories that are no part of the cell; InputError INVALID_SETTING as above."""
    # by device and inode, so that a symlinked or bind-mounted way to the same directory counts too
    found = {identity for path in leave_out if (identity := _identity(path)) is not None}
    for name in REST_FOLDERS:
        if _identity(root / name) in found:
            raise InputError(
                Code.INVALID_SETTING,
                f"Backups or state are kept in {printable(str(root / name))} itself, which is part of the cell.",
                hint="Give CELL_BACKUP_BACKUP_DIR and CELL_BACKUP_STATE_DIR folders of their own.",
            )
    return found


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:  # what is not there, or cannot be reached, will not be met on the walk either
        return None
    return status.st_dev, status.st_ino


def _by_component(found: list[tuple[Entry, str | None]], wanted: list[str]) -> dict[str, list[Entry]]:
    rank = {name: index for index, name in enumerate(wanted)}
    nobody = len(wanted)
    first_inside: dict[str, int] = {}
    grouped: list[list[Entry]] = [[] for _ in range(nobody + 1)]
    for entry, owner in reversed(found):  # children before parents
        index = min(nobody if owner is None else rank.get(owner, nobody), first_inside.get(entry.path, nobody))
        grouped[index].append(entry)
        parent = entry.path.rpartition("/")[0]
        first_inside[parent] = min(index, first_inside.get(parent, nobody))
    return {name: grouped[index][::-1] for name, index in rank.items()}
