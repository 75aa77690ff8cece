"""What somebody asked of a restore, as its job's record holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Safety = Literal["full", "files", "none"]
Mode = Literal["equal", "overlay"]
Regenerate = Literal["builtin", "hook", "off"]


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """Hold the choices of one restore; None for components or services takes all there are."""

    components: tuple[str, ...] | None
    services: tuple[str, ...] | None
    dry_run: bool
    safety: Safety
    mode: Mode
    accept_damaged: bool
    regenerate: Regenerate

    @classmethod
    def of(cls, request: Mapping[str, Any], default: Regenerate) -> "RestoreRequest":
        """Read a job's request; what is absent is as the API's own default, `regenerate` as the setting says."""
        return cls(
            components=_names(request.get("components")),
            services=_names(request.get("services")),
            dry_run=bool(request.get("dry_run", False)),
            safety=request.get("safety") or "full",
            mode=request.get("mode") or "equal",
            accept_damaged=request.get("damaged") == "accept",
            regenerate=request.get("regenerate") or default,
        )

    def takes_component(self, name: str) -> bool:
        """Tell whether the component was chosen."""
        return self.components is None or name in self.components

    def takes_service(self, service: str | None) -> bool:
        """Tell whether the volumes of the service were chosen."""
        return self.services is None or service in self.services


def _names(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
