"""What a load run has seen: how long every kind of request took, what was answered, what went wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from benchmarks.report import table


@dataclass(slots=True)
class Counts:
    """Collect while the run goes on; seconds by what was timed, answers by method and status."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    queue_full: int = 0
    broken_connections: int = 0
    streams_resumed: int = 0
    problems: list[str] = field(default_factory=list)

    def took(self, what: str, seconds: float) -> None:
        """Note how long something took."""
        self.seconds.setdefault(what, []).append(seconds)


def percentile(values: Sequence[float], percent: int) -> float:
    """Give the value below which so many of a hundred lie."""
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]


def times(counts: Counts) -> str:
    """Tell how long each kind of thing took, in milliseconds."""
    rows = [
        [
            what,
            f"{len(seconds):,}",
            *(f"{1000 * percentile(seconds, percent):,.1f}" for percent in (50, 99)),
            f"{1000 * max(seconds):,.1f}",
        ]
        for what, seconds in counts.seconds.items()
    ]
    return table(["", "how many", "p50 ms", "p99 ms", "max ms"], rows)


def summary(counts: Counts, elapsed: float) -> str:
    """Tell what came of it all in a few lines."""
    answers = ", ".join(f"{count:,} x {method} {status}" for (method, status), count in sorted(counts.answers.items()))
    lines = [
        f"{len(counts.ended):,} jobs in {elapsed:,.1f} s: {len(counts.ended) / elapsed:,.1f} jobs/s.",
        f"Answers: {answers}.",
        f"Queue full {counts.queue_full:,} times, which was obeyed.",
        f"Connections that broke: {counts.broken_connections:,}; streams taken up again: {counts.streams_resumed:,}.",
    ]
    return "\n".join(lines)
