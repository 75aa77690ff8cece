"""The workers' tests run in the house that the fault tests run in."""

from tests.faults.conftest import house
from tests.unit.workers.nights import night
from tests.unit.workers.tellers import teller

__all__ = ["house", "night", "teller"]
