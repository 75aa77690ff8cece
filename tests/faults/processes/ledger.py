"""What all runs came to, for the summary at the end."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """Say what one run did and what became of it."""

    seed: int
    place: str
    action: str
    hit: str
    ended: str
    side: str
    seconds: float


@dataclass(slots=True)
class Ledger:
    """Hold the runs, and how long it took until a cancelled job had ended."""

    runs: list[Entry] = field(default_factory=list)
    cancelled: dict[str, float] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Tell it in a table."""
        return [*self._runs(), *self._cancelled()]

    def _runs(self) -> list[str]:
        if not self.runs:
            return []
        seeds = sorted(entry.seed for entry in self.runs)
        seconds = sum(entry.seconds for entry in self.runs)
        lines = [f"{len(self.runs)} runs, seeds {seeds[0]} to {seeds[-1]}, {seconds / len(self.runs):.1f} s each"]
        tables = {
            "aimed at": Counter(entry.place for entry in self.runs),
            "hit": Counter(entry.hit for entry in self.runs),
            "done": Counter(entry.action for entry in self.runs),
            "ended": Counter(f"{entry.ended}, {entry.side}" for entry in self.runs),
        }
        for title, counts in tables.items():
            lines.append(f"  {title}: " + "; ".join(f"{name} {count}" for name, count in sorted(counts.items())))
        return lines

    def _cancelled(self) -> list[str]:
        if not self.cancelled:
            return []
        longest = sorted(self.cancelled.items(), key=lambda item: -item[1])
        told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in longest)
        return [f"cancelled in {len(longest)} places, from the request to the end state: {told}"]


LEDGER = Ledger()
