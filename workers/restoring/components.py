"""Which of the cell's files a restore brings back."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.archive.verify import Report
from app.errors import Code, PartError
from workers.restoring.request import RestoreRequest
from workers.restoring.trust import accepted, damaged, nothing_of, results_of
from workers.restoring.volumes import skipped


@dataclass(frozen=True, slots=True)
class ComponentChoice:
    """Hold the components to restore; those in `overlay` keep what the archive does not have."""

    names: tuple[str, ...]
    overlay: frozenset[str]
    left_out: tuple[PartResult, ...]
    warnings: tuple[str, ...]


def choose_components(
    report: Report, request: RestoreRequest, known: Sequence[str], found: set[str], *, unplaced: bool = False
) -> ComponentChoice:
    """Choose what to restore of the cell's files; `known` are the layout's names, `found` those with members.

    `unplaced` says that the archive has files which no component of the layout takes.

    A component that the manifest calls failed is left out, unless damage is accepted: then what is there of it is laid
    over what the cell has, because what is missing in the archive may still be there.
    """
    names: list[str] = []
    overlay: set[str] = set()
    left_out: list[PartResult] = []
    warnings: list[str] = []
    saved = {result.part.name: result for result in results_of(report) if result.part.kind is PartKind.COMPONENT}
    strange = sorted(set(saved) - set(known))
    left_out.extend(skipped(saved[name].part, _strange(name), PartOutcome.FAILED) for name in strange if unplaced)
    if strange:
        warnings.append(
            f"The archive has components that this layout does not know ({', '.join(strange)}): its files are laid "
            "over what the cell has, and nothing is removed."
        )
    for name in known:
        part = Part(PartKind.COMPONENT, name)
        if not request.takes_component(name):
            continue
        result = saved.get(name)
        if name not in found and result is None:
            if request.components is not None:
                left_out.append(skipped(part, nothing_of(name)))
            continue
        if result is not None and result.outcome is not PartOutcome.SUCCEEDED:
            if not request.accept_damaged or result.outcome is PartOutcome.SKIPPED:
                left_out.append(skipped(part, damaged(result), PartOutcome.FAILED))
                continue
            warnings.append(accepted(result))
            overlay.add(name)
        names.append(name)
        if strange or request.mode == "overlay" or (report.header is not None and result is None):
            overlay.add(name)
    return ComponentChoice(tuple(names), frozenset(overlay), tuple(left_out), tuple(warnings))


def _strange(name: str) -> PartError:
    message = f"This layout does not know '{name}', and has no place for some of the archive's files."
    return PartError(
        Code.UNKNOWN_COMPONENT, message, hint="Restore with the layout file that the backup was made with."
    )
