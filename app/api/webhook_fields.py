"""Webhooks in requests and answers: who wants to be told, and what came of it."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

from app.api.resources import Resources
from app.jobs.deliveries import Delivery, DeliveryState
from app.jobs.webhook_keys import pack_webhook, webhook_id
from app.webhooks.targets import MAX_URL, Target, target_for

_MAX_SECRET = 512
EXAMPLE_DELIVERY_ID = "msg_3f0c7e5a9d1b4c52b6a1f20d8e7c9a44_request"
_ATTEMPT: dict[str, Any] = {"at": "2026-11-23T02:00:21.6Z", "seconds": 0.12, "status": 204, "error": None, "answer": ""}


def _text(secret: SecretStr | None) -> SecretStr:
    # null is refused: it would quietly sign with another secret for a client whose variable was not set
    if secret is None or not 1 <= len(secret.get_secret_value()) <= _MAX_SECRET:
        raise ValueError(f"must be a text of 1 to {_MAX_SECRET} characters; leave it out where there is none")
    return secret


Secret = Annotated[
    SecretStr | None,
    AfterValidator(_text),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": _MAX_SECRET, "format": "password", "writeOnly": True}
    ),
    Field(
        description=(
            "Signs the messages: `whsec_` and base64, or any text of 24 bytes or more. Never shown. Left out: the "
            "secret of the service."
        ),
        examples=["whsec_YW4gZXhhbXBsZSwgbm90IGEgc2VjcmV0"],
    ),
]
Address = Annotated[
    SecretStr,
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_URL, "format": "uri", "writeOnly": True}),
    Field(
        description="Where messages are POSTed: https; only scheme, host and port of it are ever shown.",
        examples=["https://hooks.example/backups"],
    ),
]


class Webhook(BaseModel):
    """Say who is told of the job's end, by a signed message after the Standard Webhooks convention.

    Its body is the job as GET /api/jobs/{job_id} shows it, without `webhooks`.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"url": "https://hooks.example/backups", "secret": "whsec_YW4gZXhhbXBsZSwgbm90IGEgc2VjcmV0"}
        },
    )

    url: Address
    secret: Secret = None


class AttemptModel(BaseModel):
    """Say what one attempt to deliver a message came to."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _ATTEMPT})

    at: Annotated[datetime, Field(description="When it began.")]
    seconds: float
    status: Annotated[int | None, Field(description="The status of the answer, if there was one.")]
    error: Annotated[str | None, Field(description="Why there was none.")]
    answer: Annotated[str, Field(description="The answer's first bytes; what it repeats of the address is hidden.")]


DELIVERY_EXAMPLE: dict[str, Any] = {
    "delivery_id": EXAMPLE_DELIVERY_ID,
    "target": "request",
    "origin": "https://hooks.example",
    "state": "delivered",
    "attempts": [_ATTEMPT],
    "created_at": "2026-11-23T02:00:21.5Z",
    "next_at": None,
}


class DeliveryModel(BaseModel):
    """Describe a message for one receiver."""

    model_config = ConfigDict(json_schema_extra={"example": DELIVERY_EXAMPLE})

    delivery_id: Annotated[str, Field(description="Its `webhook-id`, the same in every attempt.")]
    target: Annotated[str, Field(description="`request`: the receiver that the request named; `default`: everyone's.")]
    origin: Annotated[str, Field(description="Scheme, host and port of the receiver.")]
    state: DeliveryState
    attempts: Annotated[list[AttemptModel], Field(description="The last fifty, oldest first.")]
    created_at: datetime
    next_at: Annotated[datetime | None, Field(description="When the next attempt is due.")]

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryModel":
        """Show one delivery."""
        return cls(
            delivery_id=delivery.delivery_id,
            target=delivery.target,
            origin=delivery.origin,
            state=delivery.state,
            attempts=[AttemptModel.model_validate(attempt) for attempt in delivery.attempts],
            created_at=delivery.created_at,
            next_at=delivery.next_at,
        )


def target_of(given: Resources, url: SecretStr, secret: SecretStr | None) -> Target:
    """Check a receiver that a request names; raise InputError INVALID_WEBHOOK."""
    return target_for(given.settings, url.get_secret_value(), None if secret is None else secret.get_secret_value())


async def seal_webhook(given: Resources, job_id: str, webhook: Webhook) -> str:
    """Seal the webhook of a job that is about to be made, and give what of it goes into the job's request.

    Raise InputError INVALID_WEBHOOK. Where the job is not made, `drop_webhook` forgets it.
    """
    target = target_of(given, webhook.url, webhook.secret)
    await given.jobs.secrets.seal(webhook_id(job_id), pack_webhook(target.url, target.secret))
    return target.origin


async def drop_webhook(given: Resources, job_id: str) -> None:
    """Forget the webhook of a job that was not made."""
    await given.jobs.secrets.drop(webhook_id(job_id))
