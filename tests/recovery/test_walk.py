"""The recovery page, followed to the letter on a bare Debian machine with an engine of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.recovery.cells import ARCHIVE, PASSPHRASE, look
from tests.recovery.conftest import Lost
from tests.recovery.machine import Machine, new_machine
from tests.recovery.page import BY_HAND, Step, steps_of_page, steps_of_way

_PARTIAL = 3
WAYS = ("a", "b")


def follow(machine: Machine, step: Step, by_hand: Mapping[str, Callable[[], None]]) -> None:
    """Do one step as the page has it, and look whether one sees what it says."""
    if BY_HAND in step.marks:
        by_hand[step.marks[-1]]()
        return
    done = machine.type(step.commands, [PASSPHRASE])
    assert done.code == (_PARTIAL if "partial" in step.marks else 0), done.screen
    assert step.missing_on(done.screen) == [], done.screen
    assert PASSPHRASE not in done.screen


def test_every_block_is_of_a_way_that_is_walked() -> None:
    steps = steps_of_page()
    assert {step.marks[0] for step in steps} == {"all", BY_HAND, *WAYS}
    assert {step.marks[-1] for step in steps if BY_HAND in step.marks} == {"engine", "archive", "software"}
    assert all(len(steps_of_way(way)) > 8 for way in WAYS)


@pytest.mark.parametrize("way", WAYS)
def test_the_cell_comes_back_by_following_the_page(way: str, prepared: str, wheels: Path, lost: Lost) -> None:
    with new_machine(prepared, wheels) as machine:
        by_hand: dict[str, Callable[[], None]] = {
            "engine": machine.start_engine,
            "archive": lambda: machine.put(ARCHIVE, lost.archive),
            "software": machine.copy_software if way == "a" else lambda: None,
        }
        for step in steps_of_way(way)[1:]:  # the first is done: `prepared`
            follow(machine, step, by_hand)
        back = look(machine)
        assert (sorted(lost.cell - back), sorted(back - lost.cell)) == ([], [])
        assert machine.sh("stat -c %u:%g /opt/pic") == "1000:1000\n"
        assert machine.sh("docker exec cell-notes cat /data/ada/newest") == "a text\n"
        assert ("cell-backup" in machine.sh("ls /opt").split()) == (way == "a")
