import pytest

from tests.faults.processes.ledger import LEDGER
from tests.faults.processes.world import world, world_for_all  # noqa: F401  # fixtures


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what the runs came to."""
    if lines := LEDGER.lines():
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)
