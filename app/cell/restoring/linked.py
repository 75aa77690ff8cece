"""Which files have several names, in the archive and in the cell, and whether that is the same."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from app.cell.restoring.present import Now
from app.cell.restoring.tree import Sort, Staged

Names = dict[str, frozenset[str]]


def same_links(same: set[str], wanted: Mapping[str, Staged], present: Mapping[str, Now]) -> set[str]:
    """Give those of the paths that are the same whose links are the same too, among the wanted paths.

    So a file with several names keeps or loses all of them at once, since in the cell they are one file.
    """
    before, after = _linked_now(wanted, present), _linked_then(wanted.values())
    return {path for path in same if before.get(path) == after.get(path)}


def _linked_now(wanted: Mapping[str, Staged], present: Mapping[str, Now]) -> Names:
    groups: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    for path in wanted:
        now = present.get(path)
        if now is not None and now.sort is Sort.FILE and now.status.st_nlink > 1:
            groups[now.status.st_dev, now.status.st_ino].add(path)
    return _several(groups.values())


def _linked_then(wanted: Iterable[Staged]) -> Names:
    groups: defaultdict[int, set[str]] = defaultdict(set)
    for staged in wanted:
        if staged.sort is Sort.FILE:
            groups[staged.group].add(staged.path)
    return _several(groups.values())


def _several(groups: Iterable[set[str]]) -> Names:
    return {path: frozenset(group) for group in groups if len(group) > 1 for path in group}
