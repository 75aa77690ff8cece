from pathlib import Path

import pytest

from app.cell.sample import make_sample_cell


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    root = tmp_path / "cell"
    make_sample_cell(root)
    return root


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    root = tmp_path / "bare"
    (root / "config").mkdir(parents=True)
    (root / "data").mkdir()
    return root
