"""The workers' tests run in the house that the fault tests run in."""

from tests.faults.conftest import house

__all__ = ["house"]
