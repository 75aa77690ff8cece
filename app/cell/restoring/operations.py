"""What a swap does to the cell, step by step, and what the folders it touches were like before: one durable file.

JSON lines: `{"folder": path, …attributes}` for each folder, then `{"action": …}` for each operation, in order.
Paths are surrogateescaped; JSON's escapes carry them.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from app.cell.restoring.attributes import Attributes, from_json

NAME = "operations"


class Action(StrEnum):
    """Name the ways to change one path.

    SET_ASIDE renames what is there to `undo/<n>`. PUT links or renames it there, then renames `staged/<n>` to the path.
    """

    SET_ASIDE = "set-aside"
    REMOVE_FOLDER = "remove-folder"
    MAKE_FOLDER = "make-folder"
    PUT = "put"


@dataclass(frozen=True, slots=True)
class Operation:
    """Change one path, as part of one component's step; `number` names its files in the place."""

    action: Action
    path: str
    component: str
    place: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Operations:
    """Hold all operations, and the folders as they were before."""

    folders: dict[str, Attributes]
    steps: tuple[Operation, ...]


def write_operations(folder: Path, operations: Operations) -> None:
    """Write the file; it is complete once a note of the journal says so."""
    lines: Iterable[dict[str, Any]] = (
        *({"folder": path, **attributes.to_json()} for path, attributes in operations.folders.items()),
        *(asdict(step) for step in operations.steps),
    )
    descriptor = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        os.fsync(descriptor)


def read_operations(folder: Path) -> Operations:
    """Read the file again; OSError, or ValueError where it is not what was written."""
    folders: dict[str, Attributes] = {}
    steps: list[Operation] = []
    with (folder / NAME).open() as file:
        for line in file:
            facts = json.loads(line)
            if (path := facts.pop("folder", None)) is not None:
                folders[path] = from_json(facts)
            else:
                action = Action(facts["action"])
                steps.append(Operation(action, facts["path"], facts["component"], facts["place"], facts["number"]))
    return Operations(folders, tuple(steps))
