"""What an archive has of a cell, path by path."""

from dataclasses import dataclass, field
from enum import StrEnum

from app.cell.restoring.attributes import Attributes


class Sort(StrEnum):
    """Tell what a path is."""

    FILE = "file"
    SYMLINK = "symlink"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Staged:
    """Describe one path of the archive; a folder has no file in a place, names of one file have the same `group`.

    `digest` is None for a folder, a link, and a file that is damaged in the archive. `is_second_name` marks a hard
    link, whose contents the archive has under another name.
    """

    path: str
    sort: Sort
    component: str | None
    attributes: Attributes
    place: str = ""
    number: int = 0
    group: int = 0
    size: int = 0
    digest: str | None = None
    target: bytes = b""
    is_second_name: bool = False


@dataclass(slots=True)
class Tree:
    """Hold what the archive has of the cell by path; `kept` are paths that it has and a restore cannot bring."""

    entries: dict[str, Staged] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    owners_kept: bool = True
