"""Calling a receiver on this machine."""

import json

import aiohttp
from aiohttp.abc import AbstractResolver

from app.webhooks.addresses import Networks
from app.webhooks.sending import Attempt, send
from app.webhooks.targets import Target
from tests.support.webhook_receiver import (
    LOOPBACK,
    SECRET,
)

BODY = json.dumps({"job_id": "1"}).encode()
SHORT_CONNECT = aiohttp.ClientTimeout(total=30, connect=0.3)
SHORT = aiohttp.ClientTimeout(total=3)


async def call(url: str, *, networks: tuple[str, ...] = LOOPBACK, resolver: AbstractResolver | None = None) -> Attempt:
    return await send(Target(url, SECRET), "msg_1", BODY, Networks(networks), resolver=resolver)


def assert_nothing_shown(attempt: Attempt) -> None:
    """Check that neither the address's path and query nor the secret can be read anywhere."""
    text = repr(attempt)
    for hidden in ("path-is", "query-is", SECRET, SECRET.removeprefix("whsec_")):
        assert hidden not in text
