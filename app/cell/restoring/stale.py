"""What a cell has and the archive has not: what of it goes, and with which component's step."""

from collections.abc import Mapping

from app.cell.restoring.present import Now, Present, in_the_way
from app.cell.restoring.tree import Sort, Tree


class Stale:
    """Find paths to remove; `ranks` gives the place in restore order of the step that removes each of them.

    Files go with their component. A folder goes where all that is in it goes, with the last of that. What is in a
    folder that has to make room for a file goes before that file comes.
    """

    def __init__(
        self, present: Present, tree: Tree, needed: Mapping[str, int], removing: Mapping[str, int], *, whole: bool
    ) -> None:
        self._present = present
        self._tree = tree
        self._needed = needed
        self._removing = removing
        self._whole = whole
        self.ranks = self._files()
        self._folders()

    def _files(self) -> dict[str, int]:
        return {
            path: rank
            for path, now in self._present.entries.items()
            if (rank := self._rank(now)) is not None and now.sort is not Sort.FOLDER and self._goes(path)
        }

    def _folders(self) -> None:
        """Add the folders that end up empty, children before their parents."""
        for path in sorted(self._present.entries, reverse=True):
            now = self._present.entries[path]
            rank = self._rank(now)
            if rank is None or now.sort is not Sort.FOLDER or path in self._needed:
                continue
            inside = self._inside(path) if self._goes(path) else None
            if inside is not None and all(child in self.ranks for child in inside):
                self.ranks[path] = max([rank, *(self.ranks[child] for child in inside)])

    def _rank(self, now: Now) -> int | None:
        return None if now.owner is None else self._removing.get(now.owner)

    def _goes(self, path: str) -> bool:
        if path in self._tree.entries or path in self._tree.kept or self._present.is_fixed(path):
            return False
        return self._whole or self._is_in_a_packed_folder(path)

    def _is_in_a_packed_folder(self, path: str) -> bool:
        """Tell whether the archive has a member for a folder that the path is in: then it has all of that folder."""
        while folder := path.rpartition("/")[0]:
            entry = self._tree.entries.get(folder)
            if entry is not None and entry.sort is Sort.FOLDER:
                return True
            path = folder
        return False

    def _inside(self, folder: str) -> list[str] | None:
        try:
            return self._present.children(folder)
        except OSError:
            return None

    def make_room(self, folder: str, rank: int) -> None:
        """Have everything in a folder go before a file of that rank takes its place.

        Raises JobError PLAN_CONFLICT where something in it stays.
        """
        now = self._present.entries.get(folder)
        if now is None or self._present.is_fixed(folder):
            raise in_the_way(folder, "it is a folder that is no part of the cell")
        waiting = [folder]
        while waiting:
            inside = self._inside(waiting.pop())
            if inside is None:
                raise in_the_way(folder, "it is a folder that cannot be read")
            for path in inside:
                if path not in self.ranks:
                    raise in_the_way(folder, f"it is a folder, and {path.rpartition('/')[2]!r} in it stays")
                self.ranks[path] = min(self.ranks[path], rank)
                if self._is_folder(path):
                    waiting.append(path)
        self.ranks[folder] = rank

    def _is_folder(self, path: str) -> bool:
        now: Now | None = self._present.entries.get(path)
        return now is not None and now.sort is Sort.FOLDER
