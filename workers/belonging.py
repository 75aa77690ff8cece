"""Whose container it is: that of the cell at hand, or of one in another folder of this machine."""

import os
from pathlib import Path

from app.engine.base import Container

_HOME = "com.docker.compose.project.working_dir"


def other_home(container: Container, root: Path) -> str | None:
    """Name the folder of the other cell that a container belongs to; None where it may be that of the cell in `root`.

    Compose says where a container comes from. Another folder counts where it is there, and is neither in the cell nor
    around it: a sample or a copy must not rule the cell. One that is not there says nothing: this service may run in a
    container, where the cell has another path.
    """
    label = container.labels.get(_HOME)
    if not label or not os.path.isdir(label):  # noqa: PTH112 - a Path raises where it may not look
        return None
    home, own = Path(label).resolve(), root.resolve()
    return None if home.is_relative_to(own) or own.is_relative_to(home) else label
