"""A job's webhooks: which messages its end makes, one attempt to deliver each, and when to try again."""

import json
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.errors import Code, JobError
from app.jobs.deliveries import Attempt, Delivery, DeliveryState
from app.jobs.document import document
from app.jobs.records import Job
from app.jobs.webhook_keys import unpack_webhook, webhook_id
from app.settings import Settings
from app.webhooks import sending
from app.webhooks.addresses import Networks
from app.webhooks.sending import send
from app.webhooks.targets import Target, default_target
from workers.tools import Tools

log = logging.getLogger("cell_backup.webhooks")

_LONGEST_WISH = 10 * 3600.0  # of a receiver that says when to come again
_MOST_ATTEMPTS = 50
_random = secrets.SystemRandom()


def _jitter() -> float:
    return _random.uniform(0.8, 1.2)


def messages_of(job: Job, settings: Settings) -> list[Delivery]:
    """Give what a job's end sends out: to the receiver its request named, and to the operator's."""
    origins = {"request": job.request.get("webhook")}
    default = default_target(settings)
    origins["default"] = None if default is None else default.origin
    body = json.dumps(document(job), separators=(",", ":"))
    now = datetime.now(UTC)
    return [
        Delivery(
            # without a full stop, which divides what is signed
            delivery_id=f"msg_{job.job_id}_{target}",
            job_id=job.job_id,
            target=target,
            origin=origin,
            body=body,
            created_at=now,
            next_at=now,
        )
        for target, origin in origins.items()
        if origin is not None
    ]


async def attempted(tools: Tools, delivery: Delivery) -> Delivery:
    """Try once to deliver, and give the delivery as it stands then; raise UnavailableError where Redis is away."""
    try:
        target = await _target_of(tools, delivery)
    except JobError as error:
        attempt = Attempt(datetime.now(UTC), 0.0, error=error.message)
        return _ended(delivery, attempt, DeliveryState.GIVEN_UP)
    try:
        sent = await send(
            target, delivery.delivery_id, delivery.body.encode(), Networks(tools.settings.webhook_networks)
        )
    except Exception as error:
        log.exception("webhook %s: unexpected error", delivery.delivery_id)
        sent = sending.Attempt(datetime.now(UTC), error=f"Unexpected {type(error).__name__}; see the worker's log.")
    now = after(replace(delivery, origin=target.origin), sent, tools.settings.webhook_pauses)
    _tell(now)
    return now


def after(
    delivery: Delivery, sent: sending.Attempt, pauses: Sequence[float], *, jitter: Callable[[], float] = _jitter
) -> Delivery:
    """Give the delivery after one more attempt: delivered, given up, or due again after the next pause."""
    attempt = Attempt(sent.at, sent.seconds, sent.status, sent.error, sent.answer)
    made = len(delivery.attempts)
    if sent.delivered:
        return _ended(delivery, attempt, DeliveryState.DELIVERED)
    if sent.unwanted or made >= min(len(pauses), _MOST_ATTEMPTS - 1):
        return _ended(delivery, attempt, DeliveryState.GIVEN_UP)
    pause = max(pauses[made] * jitter(), min(sent.retry_after or 0.0, _LONGEST_WISH))
    return replace(
        delivery,
        state=DeliveryState.PENDING,
        attempts=(*delivery.attempts, attempt),
        next_at=attempt.at + timedelta(seconds=attempt.seconds + pause),
    )


def _ended(delivery: Delivery, attempt: Attempt, state: DeliveryState) -> Delivery:
    return replace(delivery, state=state, attempts=(*delivery.attempts, attempt), next_at=None)


async def _target_of(tools: Tools, delivery: Delivery) -> Target:
    """Find the address and secret again; raise JobError SECRET_GONE where nobody has them any more."""
    if delivery.target == "default":
        default = default_target(tools.settings)
        if default is None:
            raise JobError(Code.SECRET_GONE, "The service has no webhook for all jobs any more.")
        return default
    try:
        url, secret = unpack_webhook(await tools.jobs.secrets.open(webhook_id(delivery.job_id)))
    except JobError as error:
        message = "Address and secret of this webhook are no longer there: they are kept for a week."
        raise JobError(Code.SECRET_GONE, message) from error
    return Target(url=url, secret=secret)


def _tell(delivery: Delivery) -> None:
    last = delivery.attempts[-1]
    level = logging.INFO if delivery.state is DeliveryState.DELIVERED else logging.WARNING
    came_to = last.error if last.status is None else f"answer {last.status}"
    log.log(level, "webhook %s to %s: %s (%s)", delivery.delivery_id, delivery.origin, delivery.state, came_to)
