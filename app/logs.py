"""Log lines: one format for all processes, on standard error."""

import logging
import sys


def configure_logging(level: str) -> None:
    """Send log lines of `level` and above to standard error."""
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
    )
