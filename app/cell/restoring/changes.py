"""What a restore changes of the cell's files: for people, for programs, and for the swap that does it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from app.cell.documents import printable
from app.cell.restoring.attributes import Attributes
from app.cell.restoring.operations import Operation
from app.cell.restoring.tree import Sort


class Verb(StrEnum):
    """Say what happens to a path; a change of its attributes alone replaces it too."""

    CREATE = "create"
    REPLACE = "replace"
    REMOVE = "remove"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Change:
    """Describe what happens to one path; `size` is what it will have in bytes, `size_now` what it has."""

    verb: Verb
    path: str
    component: str
    sort: Sort
    size: int = 0
    size_now: int = 0


class Contents(NamedTuple):
    """Count the sound regular files of a component and all its bytes; one file with several names counts once."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class FilePlan:
    """Hold every change, the steps that make them, and the attributes that folders have in the end.

    `contents` is what each chosen component has in the archive, counted as its manifest counts.
    """

    chosen: tuple[str, ...]
    changes: tuple[Change, ...]
    contents: Mapping[str, Contents]
    steps: tuple[Operation, ...]
    folders: Mapping[str, Attributes]
    warnings: tuple[str, ...]

    @property
    def components(self) -> tuple[str, ...]:
        """Name the components that change, in restore order."""
        changed = {change.component for change in self.changes if change.verb is not Verb.LEAVE}
        return tuple(name for name in self.chosen if name in changed)

    @property
    def bytes_needed(self) -> int:
        """Give the bytes of the files that are created or replaced; they are staged already."""
        return sum(change.size for change in self._files(Verb.CREATE, Verb.REPLACE))

    @property
    def bytes_replaced(self) -> int:
        """Give the bytes of the files that are replaced or removed."""
        return sum(change.size_now for change in self._files(Verb.REPLACE, Verb.REMOVE))

    def summary(self, limit: int = 1000) -> list[dict[str, Any]]:
        """Write down what each chosen component has of changes: numbers of all, `limit` one by one, removals first."""
        return [self._component(name, limit) for name in self.chosen]

    def _component(self, name: str, limit: int) -> dict[str, Any]:
        mine = [change for change in self.changes if change.component == name]
        shown = [change for change in mine if change.verb is not Verb.LEAVE]
        shown.sort(key=lambda change: change.verb is not Verb.REMOVE)  # not to be overlooked among a thousand others
        return {
            "name": name,
            **{verb.value: _total([change for change in mine if change.verb is verb]) for verb in Verb},
            "changes": [_shown(change) for change in shown[:limit]],
            "truncated": len(shown) > limit,
        }

    def _files(self, *verbs: Verb) -> Iterator[Change]:
        return (change for change in self.changes if change.verb in verbs and change.sort is not Sort.FOLDER)


def _total(changes: list[Change]) -> dict[str, int]:
    files = [change for change in changes if change.sort is not Sort.FOLDER]
    size = sum(change.size_now if change.verb in {Verb.REMOVE, Verb.LEAVE} else change.size for change in files)
    return {"files": len(files), "folders": len(changes) - len(files), "bytes": size}


def _shown(change: Change) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    if change.sort is Sort.FILE:
        sizes |= {} if change.verb is Verb.REMOVE else {"bytes": change.size}
        sizes |= {} if change.verb is Verb.CREATE else {"bytes_now": change.size_now}
    return {"action": change.verb.value, "path": printable(change.path), "kind": change.sort.value, **sizes}
