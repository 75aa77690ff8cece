"""What came of step 8."""

from dataclasses import dataclass
from typing import Any

from app.archive.parts import PartOutcome


@dataclass(frozen=True, slots=True)
class Made:
    """Say what came of one part of step 8, in words for people."""

    outcome: PartOutcome
    message: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Regeneration:
    """Hold what came of each part of step 8."""

    caddyfile: Made
    corefile: Made
    routing: Made

    @property
    def parts(self) -> dict[str, Made]:
        """Give the parts by name, in order."""
        return {"caddyfile": self.caddyfile, "corefile": self.corefile, "routing": self.routing}

    @property
    def good(self) -> bool:
        """Tell whether no part failed."""
        return all(made.outcome is not PartOutcome.FAILED for made in self.parts.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """Give all that people must know: what failed, and what was left out."""
        failed = (made.message for made in self.parts.values() if made.outcome is PartOutcome.FAILED)
        said = (warning for made in self.parts.values() for warning in made.warnings)
        return tuple(dict.fromkeys((*failed, *said)))

    def to_json(self) -> dict[str, Any]:
        """Give the outcome and message of each part."""
        return {name: {"outcome": made.outcome, "message": made.message} for name, made in self.parts.items()}

    def lines(self) -> list[str]:
        """Tell it on a terminal."""
        told = [f"{name}: {made.outcome}: {made.message}" for name, made in self.parts.items()]
        left_out = [warning for made in self.parts.values() for warning in made.warnings]
        return told + [f"warning: {warning}" for warning in dict.fromkeys(left_out)]
