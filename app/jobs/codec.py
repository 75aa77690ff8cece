"""Records of jobs and of webhooks as JSON and back; times are ISO 8601 in UTC."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from app.archive.parts import Part, PartFault, PartKind, PartOutcome, PartResult
from app.jobs.deliveries import Attempt, Delivery, DeliveryState
from app.jobs.records import Job, JobFault, JobKind, JobState, Progress


def encode_job(job: Job) -> bytes:
    """Write a record; raise ValueError for what JSON cannot hold (NaN, a time without zone)."""
    return _encode(asdict(job))


def decode_job(data: bytes) -> Job:
    """Read a record that `encode_job` wrote, or an earlier version of it, which had fewer fields."""
    raw: dict[str, Any] = json.loads(data)
    return Job(
        **{
            **raw,
            "kind": JobKind(raw["kind"]),
            "state": JobState(raw["state"]),
            "created_at": datetime.fromisoformat(raw["created_at"]),
            "started_at": _moment(raw["started_at"]),
            "finished_at": _moment(raw["finished_at"]),
            "progress": Progress(**raw["progress"]),
            "components": tuple(_part_result(part) for part in raw["components"]),
            "warnings": tuple(raw["warnings"]),
            "error": None if raw["error"] is None else JobFault(**raw["error"]),
        }
    )


def encode_event(data: dict[str, Any]) -> bytes:
    """Write what a job's stream tells; raise ValueError as above."""
    return _encode(data)


def encode_delivery(delivery: Delivery) -> bytes:
    """Write a webhook; raise ValueError as above."""
    return _encode(asdict(delivery))


def decode_delivery(data: bytes) -> Delivery:
    """Read a webhook that `encode_delivery` wrote."""
    raw: dict[str, Any] = json.loads(data)
    return Delivery(
        **{
            **raw,
            "created_at": datetime.fromisoformat(raw["created_at"]),
            "state": DeliveryState(raw["state"]),
            "attempts": tuple(
                Attempt(**{**attempt, "at": datetime.fromisoformat(attempt["at"])}) for attempt in raw["attempts"]
            ),
            "next_at": _moment(raw["next_at"]),
        }
    )


def _encode(value: dict[str, Any]) -> bytes:
    # ASCII, so that names which are not UTF-8 (lone surrogates) come back as they were.
    return json.dumps(value, default=_time, allow_nan=False, separators=(",", ":")).encode("ascii")


def _time(value: object) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"a job record cannot hold {value!r}")
    return value.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _part_result(raw: dict[str, Any]) -> PartResult:
    part = raw["part"]
    return PartResult(
        **{
            **raw,
            "part": Part(**{**part, "kind": PartKind(part["kind"])}),
            "outcome": PartOutcome(raw["outcome"]),
            "warnings": tuple(raw["warnings"]),
            "damaged": tuple(raw["damaged"]),
            "error": None if raw["error"] is None else PartFault(**raw["error"]),
        }
    )
