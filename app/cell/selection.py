"""What of a cell was asked for, checked against what there is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.cell.documents import printable
from app.errors import Code, InputError


@dataclass(frozen=True, slots=True)
class Selection:
    """Hold the chosen components and services in the cell's own order; None stands for all there are."""

    components: tuple[str, ...] | None
    services: tuple[str, ...] | None

    def takes_service(self, service_id: str) -> bool:
        """Tell whether the service was chosen."""
        return self.services is None or service_id in self.services


def select(
    components: Collection[str] | None,
    services: Collection[str] | None,
    *,
    known_components: Sequence[str],
    known_services: Sequence[str],
) -> Selection:
    """Check a request's choice: None takes all, an empty list none of that sort.

    Raises InputError UNKNOWN_COMPONENT, UNKNOWN_SERVICE, or INVALID_REQUEST where both lists are empty.
    """
    if components is not None and services is not None and not components and not services:
        raise InputError(
            Code.INVALID_REQUEST,
            "Nothing was chosen: both 'components' and 'services' are empty.",
            hint="Leave one of them out to take all of that sort.",
        )
    return Selection(
        _known(components, known_components, Code.UNKNOWN_COMPONENT, "component"),
        _known(services, known_services, Code.UNKNOWN_SERVICE, "service"),
    )


def _known(asked: Collection[str] | None, known: Sequence[str], code: Code, sort: str) -> tuple[str, ...] | None:
    if asked is None:
        return None
    unknown = sorted(set(asked) - set(known))
    if unknown:
        names = ", ".join(f"'{printable(name[:64])}'" for name in unknown[:5])
        there_are = f"this cell has {', '.join(known)}" if known else "this cell has none"
        raise InputError(code, f"There is no {sort} {names}; {there_are}.")
    return tuple(name for name in known if name in asked)
