"""A job as everyone is told of it: the one document that the API shows and webhooks carry."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from app.archive.parts import PartResult
from app.jobs.records import Job


def document(job: Job) -> dict[str, Any]:
    """Give a job as plain JSON values; what was asked for is not in it, and so no secret is."""
    return {
        "job_id": job.job_id,
        "kind": job.kind.value,
        "dry_run": job.is_dry_run,
        "state": job.state.value,
        "backup_id": job.backup_id,
        "stage": job.stage,
        "progress": asdict(job.progress),
        "components": [part_document(result) for result in job.components],
        "warnings": list(job.warnings),
        "error": None if job.error is None else asdict(job.error),
        "result": job.result,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "cancel_requested": job.cancel_requested,
        "asked_by": job.asked_by,
    }


def part_document(result: PartResult) -> dict[str, Any]:
    """Give one component or volume of a job as plain JSON values."""
    part = result.part
    return {
        "kind": part.kind.value,
        "name": part.name,
        "service": part.service,
        "container": part.container,
        "path": part.path,
        "image": part.image,
        "digest": part.digest,
        "outcome": result.outcome.value,
        "files": result.files,
        "bytes": result.bytes,
        "seconds": result.seconds,
        "way": result.way,
        "exit_code": result.exit_code,
        "warnings": list(result.warnings),
        "damaged": list(result.damaged),
        "error": None if result.error is None else asdict(result.error),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
