"""Webhooks on their way, in memory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from app.jobs.deliveries import RESULTS, Delivery, DeliveryState, came_of, to_keep


class MemoryDeliveries:
    """Keep webhooks in a dictionary."""

    def __init__(self) -> None:
        self._deliveries: dict[str, Delivery] = {}
        self._due: dict[str, datetime] = {}
        self._held: dict[str, datetime] = {}
        self._attempts: Counter[str] = Counter(dict.fromkeys(RESULTS, 0))

    async def add(self, delivery: Delivery) -> None:
        """Keep a new one; one with that id that is there already stays as it is."""
        if delivery.delivery_id not in self._deliveries:
            self._keep(delivery)

    async def claim(self, now: datetime, *, seconds: float) -> Delivery | None:
        """Give the one that is due longest, and keep it from everyone else for that time."""
        due = [(at, delivery_id) for delivery_id, at in self._due.items() if at <= now]
        if not due:
            return None
        _, delivery_id = min(due)
        self._held[delivery_id] = self._due[delivery_id] = now + timedelta(seconds=seconds)
        return self._deliveries[delivery_id]

    async def record(self, delivery: Delivery) -> None:
        """Replace it after an attempt and count that; one that is forgotten stays forgotten."""
        known = self._deliveries.get(delivery.delivery_id)
        if known is None:
            return
        if delivery.attempts[-1:] != known.attempts[-1:]:
            self._attempts[came_of(delivery)] += 1
        self._keep(to_keep(delivery))

    async def of_job(self, job_id: str) -> list[Delivery]:
        """Give the deliveries of a job, oldest first."""
        mine = [delivery for delivery in self._deliveries.values() if delivery.job_id == job_id]
        return sorted(mine, key=lambda delivery: (delivery.created_at, delivery.delivery_id))

    async def send_again(self, delivery_id: str, now: datetime) -> Delivery | None:
        """Make it pending and due now; None where there is none with this id. One that is claimed is on its way."""
        known = self._deliveries.get(delivery_id)
        if known is None:
            return None
        again = replace(known, state=DeliveryState.PENDING, next_at=now)
        held = self._held.get(delivery_id, now)
        self._keep(again)
        if held > now:
            self._held[delivery_id] = self._due[delivery_id] = held
        return again

    async def attempts(self) -> Mapping[str, int]:
        """Give how many attempts were made in all, by what came of them."""
        return dict(self._attempts)

    async def pending(self) -> int:
        """Give how many wait for an attempt."""
        return len(self._due)

    def forget(self, job_id: str) -> bool:
        """Forget the deliveries of a job, unless one of them is pending."""
        mine = {delivery.delivery_id for delivery in self._deliveries.values() if delivery.job_id == job_id}
        if mine & self._due.keys():
            return False
        for delivery_id in mine:
            del self._deliveries[delivery_id]
        return True

    def _keep(self, delivery: Delivery) -> None:
        self._deliveries[delivery.delivery_id] = delivery
        self._held.pop(delivery.delivery_id, None)
        self._due.pop(delivery.delivery_id, None)
        if delivery.state is DeliveryState.PENDING:
            self._due[delivery.delivery_id] = delivery.next_at or delivery.created_at
