"""What of an archive's parts may be restored: those saved whole, and others only where that is asked for."""

from app.archive.parts import PartResult
from app.archive.verify import Report
from app.errors import Code, PartError


def results_of(report: Report) -> tuple[PartResult, ...]:
    """Give what the archive says of its parts; one without a manifest says nothing."""
    return () if report.manifest is None else report.manifest.parts


def nothing_of(name: str) -> PartError:
    """Say that the archive does not have something that was asked for."""
    return PartError(Code.NOTHING_TO_RESTORE, f"The archive has nothing of '{name}'.")


def damaged(result: PartResult) -> PartError:
    """Say why a part is refused."""
    why = result.error.message if result.error is not None else "its manifest does not say why"
    return PartError(Code.PART_DAMAGED, f"'{result.part.label}' was not saved whole: {why}")


def accepted(result: PartResult) -> str:
    """Say what is taken although it was not saved whole."""
    shown = ", ".join(result.damaged[:5]) + (" and more" if len(result.damaged) > 5 else "")
    damage = f" Damaged in it: {shown}." if shown else ""
    return f"'{result.part.label}' was not saved whole; what the archive has of it is taken as asked.{damage}"
