"""What an archive is made of: components and volumes, and how each of them came out."""

from dataclasses import dataclass
from enum import StrEnum

from app.errors import BackupError


class PartKind(StrEnum):
    """Tell a component (files under the cell root) from a volume (a directory in a container)."""

    COMPONENT = "component"
    VOLUME = "volume"


class PartOutcome(StrEnum):
    """Say how one part came out; `skipped` means that nobody tried, and why is in its error."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Part:
    """Name one part of a cell; the fields below `name` are set for volumes only."""

    kind: PartKind
    name: str
    service: str | None = None
    container: str | None = None
    path: str | None = None
    image: str | None = None
    digest: str | None = None

    @property
    def label(self) -> str:
        """Give the name people read: `vault`, or `mail/mailboxes` for a volume."""
        return self.name if self.service is None else f"{self.service}/{self.name}"

    @property
    def prefix(self) -> str:
        """Give the directory of a volume inside the archive, with its closing slash; a component has none."""
        return "" if self.service is None else f"services/{self.service}/{self.name}/"


@dataclass(frozen=True, slots=True)
class PartFault:
    """Say why a part failed or was skipped: a stable code, a sentence, a hint."""

    code: str
    message: str
    hint: str


def fault_of(error: BackupError) -> PartFault:
    """Write an error down."""
    return PartFault(error.code, error.message, error.hint)


@dataclass(frozen=True, slots=True)
class PartResult:
    """Hold the outcome of one part; `bytes` counts file contents, `seconds` is wall time.

    A part that succeeded and has an error is saved whole, but what was done around it (a hook, a container that had to
    run again) went wrong.
    """

    part: Part
    outcome: PartOutcome
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    way: str | None = None
    exit_code: int | None = None
    warnings: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    error: PartFault | None = None
