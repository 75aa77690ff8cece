"""The worker is killed or stopped at every stage of every kind of job, at its beginning and at seeded moments later.

CELL_BACKUP_FAULT_RUNS says how many runs there are, CELL_BACKUP_FAULT_FIRST the seed of the first one; the seed is in
the test's name, and alone decides everything that can be decided.
"""

import os

import pytest

from tests.faults.processes.runs import Plan, run
from tests.faults.processes.stages import PLACES
from tests.faults.processes.world import World

pytestmark = pytest.mark.engine

_RUNS = int(os.environ.get("CELL_BACKUP_FAULT_RUNS", len(PLACES)))
_FIRST = int(os.environ.get("CELL_BACKUP_FAULT_FIRST", "0"))


@pytest.mark.parametrize("seed", range(_FIRST, _FIRST + _RUNS))
def test_all_is_sound_after_a_worker_was_killed_or_stopped(world: World, seed: int) -> None:
    run(world, Plan.of(seed))
