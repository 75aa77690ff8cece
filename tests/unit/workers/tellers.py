"""A worker that tells how jobs end, in both job rooms."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.access.audit import AuditEntry, AuditLog
from app.jobs.deliveries import Delivery, DeliveryState
from app.jobs.records import Job, JobState
from app.jobs.rooms import Jobs, open_jobs
from app.jobs.webhook_keys import pack_webhook, webhook_id
from tests.faults.house import JOB_ID, House
from tests.support.webhook_receiver import LOOPBACK, SECRET, Receiver
from workers.aftermath import Aftermath
from workers.tools import Tools


@dataclass
class Teller:
    """Hold a worker's tools whose webhooks may go to this machine and never pause."""

    tools: Tools
    ahead: timedelta = timedelta(seconds=1)  # so that what is due at once is due

    @property
    def jobs(self) -> Jobs:
        return self.tools.jobs

    @property
    def aftermath(self) -> Aftermath:
        """Give what a worker that has just been started tells with."""
        return Aftermath(self.tools, clock=lambda: datetime.now(UTC) + self.ahead)

    async def end(self, *receivers: Receiver, **fields: Any) -> Job:
        """End a job whose request named a receiver, if one is given."""
        for taking in receivers:
            await self.jobs.secrets.seal(webhook_id(JOB_ID), pack_webhook(taking.url, SECRET))
        job = await self.jobs.store.get(JOB_ID)
        assert job is not None
        request = {"webhook": receivers[0].origin} if receivers else {}
        ended: dict[str, Any] = {"state": JobState.SUCCEEDED, "finished_at": datetime.now(UTC), "request": request}
        job = replace(job, **(ended | fields))
        await self.jobs.store.update(job)
        return job

    async def deliveries(self) -> list[Delivery]:
        return await self.jobs.deliveries.of_job(JOB_ID)

    async def delivered(self) -> bool:
        deliveries = await self.deliveries()
        return bool(deliveries) and all(found.state is DeliveryState.DELIVERED for found in deliveries)

    def audit(self) -> list[AuditEntry]:
        return AuditLog(self.tools.settings.state_dir).read(limit=10)


@pytest.fixture(params=["memory", "redis"])
async def teller(request: pytest.FixtureRequest, house: House) -> AsyncIterator[Teller]:
    house.configure(webhook_networks=LOOPBACK, webhook_pauses=(0.0, 0.0))
    if request.param == "memory":
        await house.queue()
        yield Teller(house.tools)
        return
    async with open_jobs(house.settings, request.getfixturevalue("redis_url")) as jobs:
        queued = await house.queue()
        await jobs.store.create(queued, max_queued=1)
        yield Teller(replace(house.tools, jobs=jobs))


def configured(teller: Teller, **values: Any) -> Teller:
    return Teller(replace(teller.tools, settings=teller.tools.settings.model_copy(update=values)))
