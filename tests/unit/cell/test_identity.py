import os
from pathlib import Path

import pytest

from app.cell.identity import Identity, read_identity
from tests.unit.cell.support import write

CONFIG = "config/api/cell_config.json"


def test_the_sample_cell_says_who_it_is(cell: Path) -> None:
    assert read_identity(cell) == Identity("home", "home.cell")


def test_domain_name_stands_in_where_there_is_no_domain(bare: Path) -> None:
    write(bare / CONFIG, '{"cell_name": "a", "domain_name": "a.pic.ngo"}')

    assert read_identity(bare) == Identity("a", "a.pic.ngo")


def test_what_is_not_said_is_a_warning(bare: Path) -> None:
    write(bare / CONFIG, '{"cell_name": "a"}')

    assert read_identity(bare) == Identity("a", None, (f"{CONFIG} has no 'domain'.",))


def test_a_name_is_made_fit_for_one_line(bare: Path) -> None:
    write(bare / CONFIG, r'{"cell_name": "a\u001b\nb", "domain": "x"}')

    assert read_identity(bare).cell_name == r"a\x1b\nb"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"cell_name": 7}', '{"cell_name": "\\ud800"}', "[" * 90000]
)
def test_a_broken_configuration_is_a_warning(bare: Path, content: str) -> None:
    write(bare / CONFIG, content)

    identity = read_identity(bare)

    assert (identity.cell_name, identity.domain) == (None, None)
    assert [CONFIG in warning for warning in identity.warnings] == [True]


def test_a_warning_never_repeats_what_the_configuration_holds(bare: Path) -> None:
    write(bare / CONFIG, '{"cell_name": ["hunter2"], "domain": {"token": "hunter2"}}')

    assert "hunter2" not in "".join(read_identity(bare).warnings)


@pytest.mark.parametrize("what", ["missing", "directory", "fifo"])
def test_an_unreadable_configuration_is_a_warning(bare: Path, what: str) -> None:
    (bare / CONFIG).parent.mkdir()
    if what == "directory":
        (bare / CONFIG).mkdir()
    if what == "fifo":
        os.mkfifo(bare / CONFIG)

    (warning,) = read_identity(bare).warnings

    assert warning.startswith(f"{CONFIG} does not say who this cell is: ")
