"""One walk over the cell root: what is there, which component it belongs to, and what went wrong."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from app.archive.files import Entry
from app.cell.documents import printable, reason
from app.cell.layout import Layout
from app.cell.patterns import ELSEWHERE, RESERVED
from app.errors import Code, PartError

_OUTWARD = "a link that leads out of the cell"
_UNSAVED = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class Walk:
    """Collect what belongs to the wanted components, parents before children, sorted by name, following no links.

    Unless `look_behind` is false, a link to what no component saves is a fault of those that miss it.
    """

    def __init__(
        self,
        root: Path,
        layout: Layout,
        wanted: list[str],
        skipped: set[tuple[int, int]],
        *,
        look_behind: bool = True,
    ) -> None:
        self.found: list[tuple[Entry, str | None]] = []
        self.warnings: dict[str, list[str]] = {name: [] for name in wanted}
        self.faults: dict[str, list[PartError]] = {name: [] for name in wanted}
        self._root = root
        self._layout = layout
        self._skipped = skipped
        self._looks_behind = look_behind

    def run(self) -> None:
        """Walk; a directory that cannot be read is a fault of every component that may have something in it."""
        waiting = self._children("")
        while waiting:
            waiting += self._visit(waiting.pop())

    def _visit(self, path: str) -> list[str]:
        try:
            status = os.lstat(self._root / path)
        except FileNotFoundError:
            self._vanished(path)
            return []
        except OSError as error:
            self._fault(path, reason(error))
            return []
        if stat.S_ISDIR(status.st_mode):
            return self._directory(Entry(path, status))
        self._file(Entry(path, status))
        return []

    def _directory(self, entry: Entry) -> list[str]:
        inside = entry.path + "/"
        if entry.path in RESERVED or entry.path.rpartition("/")[2] == ELSEWHERE:
            return []
        if (entry.stat.st_dev, entry.stat.st_ino) in self._skipped:
            return []
        if self._layout.excludes(inside) or not self._wanted(self._layout.components_below(entry.path)):
            return []
        self.found.append((entry, self._layout.component_of(inside)))
        return self._children(inside)

    def _children(self, prefix: str) -> list[str]:
        """List a directory, last name first, as the stack of waiting paths wants it."""
        try:
            with os.scandir(self._root / prefix) as listing:
                names = sorted((item.name for item in listing), reverse=True)
        except (FileNotFoundError, NotADirectoryError):
            self._vanished(prefix)
        except OSError as error:
            self._fault(prefix.rstrip("/"), reason(error))
        else:
            return [prefix + name for name in names]
        return []

    def _file(self, entry: Entry) -> None:
        if self._layout.excludes(entry.path):
            return
        owner = self._layout.component_of(entry.path)
        kind = stat.S_IFMT(entry.stat.st_mode)
        outward = self._leads_out(entry.path) if kind == stat.S_IFLNK else None
        if kind == stat.S_IFLNK and self._looks_behind:
            self._look_behind(entry.path, owner, is_saved=outward is None)
        if outward is not None:
            self._warn([owner], f"{printable(entry.path)}: {_OUTWARD} ({printable(outward)}), left out.")
            return
        if kind in _UNSAVED:
            self._warn([owner], f"{printable(entry.path)}: {_UNSAVED[kind]}, left out.")
        elif owner in self.warnings:
            self.found.append((entry, owner))

    def _look_behind(self, path: str, owner: str | None, *, is_saved: bool) -> None:
        """Say when a link leads to something that no component saves.

        Where a link stands in for a folder that components have their patterns in, these components are not whole.
        """
        target = os.path.realpath(self._root / path)
        is_directory = os.path.isdir(target)  # noqa: PTH112 - a name of any bytes, no Path needed
        if not is_directory and not os.path.isfile(target):  # noqa: PTH113 - the same
            return
        relative = os.path.relpath(target, os.path.realpath(self._root))
        if self._layout.component_of(relative + "/" * is_directory) is not None:
            return
        where = f"a link to {printable(target)}, which is not saved"
        hidden = self._layout.components_below(path) if is_directory else []
        if is_saved:
            self._warn([owner], f"{printable(path)}: {where}.")
        self._fail([name for name in hidden if name != owner], f"{printable(path)} is {where}.")

    def _leads_out(self, path: str) -> str | None:
        """Give the target of a link that leads out of the cell, by its words or by way of another link; None else.

        No restore takes an archive with such a link, and none touches one that is there.
        """
        try:
            target = os.readlink(self._root / path)  # noqa: PTH115 - a Path would tidy the target up
        except OSError:
            return None  # it changed just now, which reading it will say
        folders = path.split("/")[:-1]
        below = False
        for part in target.split("/"):
            if part == "..":
                if not folders or (below and self._has_link(folders)):
                    return target
                folders.pop()
            elif part not in {"", "."}:
                folders.append(part)
                below = True
        return target if target.startswith("/") else None

    def _has_link(self, parts: list[str]) -> bool:
        return any((self._root / "/".join(parts[:count])).is_symlink() for count in range(1, len(parts) + 1))

    def _vanished(self, path: str) -> None:
        owner = self._layout.component_of(path)
        self._warn([owner], f"{printable(path)}: vanished while the cell was being listed.")

    def _fault(self, path: str, why: str) -> None:
        owners = [*self._layout.components_below(path), self._layout.component_of(path)]
        self._fail(dict.fromkeys(owners), f"{printable(path)} cannot be read: {why}.")

    def _fail(self, owners: Iterable[str | None], message: str) -> None:
        for owner in self._wanted(owners):
            self.faults[owner].append(PartError(Code.FILE_UNREADABLE, message))

    def _warn(self, owners: Iterable[str | None], message: str) -> None:
        for owner in self._wanted(owners):
            self.warnings[owner].append(message)

    def _wanted(self, names: Iterable[str | None]) -> list[str]:
        return [name for name in names if name in self.warnings]
