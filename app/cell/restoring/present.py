"""What a cell has at the moment, path by path, and what of it may be moved away."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from app.cell.documents import printable
from app.cell.files import identities
from app.cell.layout import Layout
from app.cell.restoring.comparing import sort_of
from app.cell.restoring.places import Boundaries
from app.cell.restoring.tree import Sort
from app.cell.walk import Walk
from app.errors import Code, JobError


class Now(NamedTuple):
    """Hold what `lstat` says of a path, and the component it belongs to."""

    status: os.stat_result
    owner: str | None

    @property
    def sort(self) -> Sort | None:
        """Tell what it is; None for a socket, a FIFO or a device."""
        return sort_of(self.status)


class Present:
    """Look at a cell once; `entries` holds what components have, without what the layout excludes."""

    def __init__(
        self, root: Path, layout: Layout, boundaries: Boundaries, *, chosen: Collection[str], leave_out: Iterable[Path]
    ) -> None:
        skipped = identities(root, leave_out)
        walk = Walk(root, layout, list(layout.names), skipped, look_behind=False)
        walk.run()
        faults = [fault for name in layout.names if name in chosen for fault in walk.faults[name]]
        if faults:
            raise JobError(Code.PLAN_CONFLICT, f"What a restore would change is not known: {faults[0].message}")
        # the walk leaves out folders; a file may be the archive that is being restored
        found = [(entry, owner) for entry, owner in walk.found if (entry.stat.st_dev, entry.stat.st_ino) not in skipped]
        self.entries = {entry.path: Now(entry.stat, owner) for entry, owner in found}
        self._root = root
        self._boundaries = boundaries
        self._chosen = chosen

    def now(self, path: str) -> Now | None:
        """Give what is at a path, also where it belongs to no component."""
        known = self.entries.get(path)
        if known is not None:
            return known
        above = path.rpartition("/")[0]
        if above and (above not in self.entries or self.entries[above].sort is not Sort.FOLDER):
            return None
        try:
            return Now(os.lstat(self._root / path), None)
        except FileNotFoundError:
            return None

    def children(self, folder: str) -> list[str]:
        """List everything in a folder; OSError where that cannot be done."""
        with os.scandir(self._root / folder) as listing:
            return [f"{folder}/{item.name}" for item in listing]

    def is_fixed(self, path: str) -> bool:
        """Tell whether something else is mounted at a path, so that it can be neither renamed nor removed."""
        return self._boundaries.is_one(path)

    def check_movable(self, path: str, now: Now) -> None:
        """Raise JobError PLAN_CONFLICT unless what is at a path may be set aside for something else."""
        if now.sort is None or path not in self.entries:
            raise in_the_way(path, "it is none of the cell's own files")
        if now.owner not in self._chosen:
            raise in_the_way(path, f"it belongs to '{now.owner}', which is not restored")
        if self.is_fixed(path):
            raise in_the_way(path, "something is mounted there")

    def check_no_detour(self, path: str, now: Now) -> None:
        """Raise JobError PLAN_CONFLICT where a symlink stands for a folder that is kept elsewhere."""
        if now.sort is not Sort.SYMLINK:
            return
        target = os.path.realpath(self._root / path)
        inside = target.startswith(os.path.join(self._root, ""))  # noqa: PTH118 - its slash at the end is wanted
        if "/" not in path or (os.path.isdir(target) and not inside):  # noqa: PTH112 - a name of any bytes
            raise in_the_way(path, f"it is a link to {printable(target)}, and a restore writes through no link")


def in_the_way(path: str, why: str) -> JobError:
    """Make the error for one path."""
    return JobError(Code.PLAN_CONFLICT, f"{printable(path)} is in the way: {why}.")
