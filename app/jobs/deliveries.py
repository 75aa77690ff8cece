"""A webhook on its way: what is sent to whom, and what came of each attempt."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class DeliveryState(StrEnum):
    """Name where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Say what one attempt came to: the status of the answer and its first bytes, or why there was none."""

    at: datetime
    seconds: float
    status: int | None = None
    error: str | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Hold one message for one receiver; `target` says whose address it goes to, `origin` what of it may be shown.

    `delivery_id` is the message's id at the receiver and stays the same over all attempts; `body` is what is signed.
    """

    delivery_id: str
    job_id: str
    target: str
    origin: str
    body: str
    created_at: datetime
    state: DeliveryState = DeliveryState.PENDING
    attempts: tuple[Attempt, ...] = ()
    next_at: datetime | None = None


ATTEMPTS_KEPT = 50
RESULTS = ("delivered", "failed", "given_up")


def to_keep(delivery: Delivery) -> Delivery:
    """Give a delivery with its last attempts only."""
    return replace(delivery, attempts=delivery.attempts[-ATTEMPTS_KEPT:])


def came_of(delivery: Delivery) -> str:
    """Say what came of the last attempt, as attempts are counted: `given_up` is one that failed and was the last."""
    return "failed" if delivery.state is DeliveryState.PENDING else delivery.state.value
