"""Webhooks: what became of the messages about a job, sending one again, and a message to try a receiver with."""

import json
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body, Path
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.api.auth import guarded_router
from app.api.finding import JobId, find_job
from app.api.problems import problems
from app.api.resources import Given, Resources
from app.api.webhook_fields import (
    DELIVERY_EXAMPLE,
    EXAMPLE_DELIVERY_ID,
    Address,
    AttemptModel,
    DeliveryModel,
    Secret,
    target_of,
)
from app.errors import Code, InputError
from app.webhooks.addresses import Networks
from app.webhooks.sending import send
from app.webhooks.targets import Target, default_target

router = guarded_router(prefix="/api", tag="webhooks")

_EXAMPLE: dict[str, Any] = {
    "delivery_id": "msg_test_6d3f0b1c2a874e5f9d10c3b7a2e4f586",
    "origin": "https://hooks.example",
    "delivered": True,
    "attempt": {"at": "2026-11-23T02:00:21.6Z", "seconds": 0.12, "status": 204, "error": None, "answer": ""},
}


class DeliveryList(BaseModel):
    """Give the messages about one job, oldest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"webhooks": [DELIVERY_EXAMPLE]}})

    webhooks: list[DeliveryModel]


class Receiver(BaseModel):
    """Say who is told of the end of every job."""

    model_config = ConfigDict(json_schema_extra={"example": {"origin": "https://hooks.example"}})

    origin: Annotated[str | None, Field(description="Scheme, host and port of the receiver; null: there is none.")]


class Trial(BaseModel):
    """Name the receiver that is tried; left out: the one that the service has for all jobs."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"url": "https://hooks.example/backups"}})

    url: Address | None = None
    secret: Secret = None


class Tried(BaseModel):
    """Say what came of a test message."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    delivery_id: Annotated[str, Field(description="Its `webhook-id`.")]
    origin: Annotated[str, Field(description="Scheme, host and port of the receiver.")]
    delivered: Annotated[bool, Field(description="Whether the receiver answered with a 2xx.")]
    attempt: AttemptModel


@router.get(
    "/webhooks",
    operation_id="get_receiver",
    summary="Show who is told of all jobs",
    description="The receiver that CELL_BACKUP_WEBHOOK_URL names; of its address no more than may be shown.",
)
async def get_receiver(given: Given) -> Receiver:
    """Show the receiver of all jobs."""
    target = default_target(given.settings)
    return Receiver(origin=None if target is None else target.origin)


@router.get(
    "/jobs/{job_id}/webhooks",
    operation_id="list_webhooks",
    summary="List the webhooks of a job",
    description="Each message about the job's end with every attempt to deliver it; none before the job has ended.",
    responses=problems(Code.JOB_NOT_FOUND, Code.INVALID_REQUEST, Code.REDIS_UNAVAILABLE),
)
async def list_webhooks(given: Given, job_id: JobId) -> DeliveryList:
    """List the deliveries of a job."""
    job = await find_job(given, job_id)
    return DeliveryList(webhooks=[DeliveryModel.of(found) for found in await given.jobs.deliveries.of_job(job.job_id)])


@router.post(
    "/jobs/{job_id}/webhooks/{delivery_id}/redeliver",
    status_code=202,
    operation_id="redeliver_webhook",
    summary="Send a webhook again",
    description=(
        "Makes one attempt now, whatever became of the earlier ones, with the same `webhook-id` and the same body. "
        "Address and secret that came with a request are kept for a week."
    ),
    responses=problems(Code.JOB_NOT_FOUND, Code.WEBHOOK_NOT_FOUND, Code.INVALID_REQUEST, Code.REDIS_UNAVAILABLE),
)
async def redeliver_webhook(
    given: Given,
    job_id: JobId,
    delivery_id: Annotated[str, Path(description="Id of a webhook of this job.", examples=[EXAMPLE_DELIVERY_ID])],
) -> DeliveryModel:
    """Make one delivery due again."""
    job = await find_job(given, job_id)
    known = {delivery.delivery_id for delivery in await given.jobs.deliveries.of_job(job.job_id)}
    again = await given.jobs.deliveries.send_again(delivery_id, datetime.now(UTC)) if delivery_id in known else None
    if again is None:
        raise InputError(Code.WEBHOOK_NOT_FOUND, "This job has no webhook with this id.")
    return DeliveryModel.of(again)


@router.post(
    "/webhooks/test",
    operation_id="try_webhook",
    summary="Try a webhook",
    description=(
        'Sends a small signed message (`{"type": "test", …}`) at once, once, and says what came of it; that the '
        "receiver did not take it is no error here."
    ),
    responses=problems(Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.INVALID_REQUEST, Code.INVALID_WEBHOOK),
)
async def try_webhook(given: Given, wanted: Annotated[Trial, Body(default_factory=Trial)]) -> Tried:
    """Send a test message."""
    target = _target(given, wanted)
    message_id = f"msg_test_{uuid.uuid4().hex}"
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    body = {"type": "test", "timestamp": now, "data": {"message": "cell-backup can reach this receiver."}}
    attempt = await send(target, message_id, json.dumps(body).encode(), Networks(given.settings.webhook_networks))
    return Tried(
        delivery_id=message_id,
        origin=target.origin,
        delivered=attempt.delivered,
        attempt=AttemptModel.model_validate(attempt),
    )


def _target(given: Resources, wanted: Trial) -> Target:
    if wanted.url is not None:
        return target_of(given, wanted.url, wanted.secret)
    default = default_target(given.settings)
    if default is None:
        raise InputError(
            Code.INVALID_WEBHOOK,
            "The service has no webhook for all jobs.",
            hint="Send a 'url', or have the operator set CELL_BACKUP_WEBHOOK_URL.",
        )
    if wanted.secret is None:
        return default
    return target_of(given, SecretStr(default.url), wanted.secret)
