"""Webhooks for tests."""

from datetime import timedelta
from typing import Any

from app.jobs.deliveries import Attempt, Delivery, DeliveryState
from tests.unit.jobs.jobs import FIRST


def an_attempt(number: int, *, delivered: bool = False) -> Attempt:
    """Make the attempt with this number, a minute after the one before."""
    at = FIRST + timedelta(minutes=number)
    return Attempt(at, 0.25, status=204) if delivered else Attempt(at, 5.0, error="connection refused")


def a_delivery(
    number: int = 1, name: str = "default", *, tried: int = 0, delivered: bool = False, **changes: Any
) -> Delivery:
    """Make a webhook of a job as it is after so many attempts, of which the last one may have succeeded."""
    failed = tuple(an_attempt(tries) for tries in range(1, tried + 1 - delivered))
    fields: dict[str, Any] = {
        "delivery_id": f"msg_job-{number:04d}.{name}",
        "job_id": f"job-{number:04d}",
        "target": name,
        "origin": "https://example.org",
        "body": '{"type":"job.ended","data":{"label":"caf\u00e9"}}',
        "created_at": FIRST,
        "attempts": (*failed, an_attempt(tried, delivered=True)) if delivered else failed,
        "state": DeliveryState.DELIVERED if delivered else DeliveryState.PENDING,
        "next_at": None if delivered else FIRST + timedelta(minutes=tried + 1),
    }
    return Delivery(**{**fields, **changes})
