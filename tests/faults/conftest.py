"""What the fault tests share."""

from pathlib import Path

import pytest

from app.settings import Settings
from tests.faults.house import House, make_cell


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Give a cell without services, on a disk with enough space."""
    root = tmp_path / "cell"
    make_cell(root)
    return House(root, Settings(cell_root=root, state_dir=tmp_path / "state", stall_timeout=5, hook_timeout=5))
