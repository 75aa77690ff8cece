"""What a restore would do: made from the archive and from what the cell has now, followed by the real run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.archive.parts import PartResult
from app.archive.verify import Report
from app.cell.dependencies import unmet
from app.cell.identity import Identity
from app.cell.restoring.changes import FilePlan
from workers.restoring.components import ComponentChoice
from workers.restoring.targets import VolumeChoice
from workers.restoring.volumes import VolumeTarget

COMPOSE, ENV = "docker-compose.yml", ".env"


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Hold all that a restore will do; `empty_secrets` names variables that would come back without a value.

    `cell` is who the cell is that is there now, which may be another one than the archive's.
    """

    report: Report
    cell: Identity
    components: ComponentChoice
    files: FilePlan
    volumes: VolumeChoice
    empty_secrets: tuple[str, ...]
    warnings: tuple[str, ...]
    space: Mapping[str, Any]

    @property
    def left_out(self) -> tuple[PartResult, ...]:
        """Give the parts that were asked for and will not be restored, with the reason of each."""
        return (*self.components.left_out, *self.volumes.left_out)

    @property
    def empty(self) -> bool:
        """Tell whether nothing would be restored at all."""
        return not self.components.names and not self.volumes.targets

    def to_json(self) -> dict[str, Any]:
        """Write the plan down for people and programs."""
        header = self.report.header
        return {
            "archive": {
                "backup_id": header.backup_id if header else None,
                "created_at": header.created_at.isoformat() if header else None,
                "cell_name": header.cell_name if header else None,
                "domain": header.domain if header else None,
                "files": self.report.files,
                "bytes": self.report.bytes,
            },
            "cell": {"cell_name": self.cell.cell_name, "domain": self.cell.domain},
            "components": self.files.summary(),
            "volumes": [_target_json(target) for target in self.volumes.targets],
            "missing": [_left_out_json(result) for result in self.left_out],
            "empty_secrets": list(self.empty_secrets),
            "warnings": list(self.warnings),
            "space": dict(self.space),
        }


def warnings_of(
    components: ComponentChoice, volumes: VolumeChoice, files: FilePlan, empty_secrets: Sequence[str]
) -> tuple[str, ...]:
    """Gather what people should know before they agree."""
    empty = [f"{name} will be empty: {COMPOSE} uses it, and {ENV} does not give it a value." for name in empty_secrets]
    return (*components.warnings, *volumes.warnings, *unmet(components.names), *empty, *files.warnings)


def _target_json(target: VolumeTarget) -> dict[str, Any]:
    container = target.container
    return {
        "name": target.part.label,
        "container": target.volume.container,
        "state": container.state if container else None,
        "path": target.volume.path,
        "mode": "overlay" if target.overlay else "equal",
        "quiesce": target.volume.quiesce,
        "files": target.saved.files,
        "bytes": target.saved.bytes,
        "bytes_now": target.used,
        "bytes_free": target.free,
    }


def _left_out_json(result: PartResult) -> dict[str, Any]:
    error = result.error
    return {
        "kind": result.part.kind,
        "name": result.part.label,
        "code": error.code if error else None,
        "message": error.message if error else None,
        "hint": error.hint if error else None,
    }
