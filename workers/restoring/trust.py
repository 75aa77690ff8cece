"""What of an archive's parts may be restored: those saved whole, and others only where that is asked for."""

from app.archive.parts import PartOutcome, PartResult
from app.archive.verify import Report
from app.errors import Code, PartError


def results_of(report: Report) -> tuple[PartResult, ...]:
    """Give what the archive says of its parts; one without a manifest says nothing."""
    return () if report.manifest is None else report.manifest.parts


def nothing_of(name: str) -> PartError:
    """Say that the archive does not have something that was asked for."""
    return PartError(Code.NOTHING_TO_RESTORE, f"The archive has nothing of '{name}'.")


def damaged(result: PartResult) -> PartError:
    """Say why a part is refused; the reason is one of the day when it was saved, and need not hold any more."""
    why = result.error.message if result.error is not None else "its manifest does not say why"
    message = f"When the backup was made, '{result.part.label}' was not saved whole: {why}"
    hint = "Use another backup."
    if result.outcome is PartOutcome.FAILED and result.files:
        hint = "Use another backup, or take what is there: --damaged accept ('damaged': 'accept' by HTTP)."
    return PartError(Code.PART_DAMAGED, message, hint=hint)


def accepted(result: PartResult) -> str:
    """Say what is taken although it was not saved whole."""
    shown = ", ".join(result.damaged[:5]) + (" and more" if len(result.damaged) > 5 else "")
    damage = f" Damaged in it: {shown}." if shown else ""
    return f"'{result.part.label}' was not saved whole; what the archive has of it is taken as asked.{damage}"
