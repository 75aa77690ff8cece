"""`Idempotency-Key`: a request that is sent again, because its answer was lost, makes nothing a second time."""

import asyncio
import json
from typing import Annotated

from fastapi import Header, Request

from app.api.resources import Resources
from app.errors import Code, InputError
from app.jobs.instance_key import digest_under_key
from app.jobs.records import Idempotency

_NAME = "Idempotency-Key"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=_NAME,
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description=(
            "Any text, new for each job that is wanted, such as a UUID. For a day the same request with the same key "
            "gives the same job and makes nothing new, so that it can be sent again when its answer was lost. Another "
            "request with that key is refused. Keys of different tokens have nothing to do with one another."
        ),
        examples=["0d6f2c1e-52a3-4a86-b6a5-6ad0a1a3c7de"],
    ),
]


async def idempotency_of(given: Resources, request: Request, key: str | None, asked_by: str) -> Idempotency | None:
    """Name the request by its key and by all that it asks for; None where it has no key.

    What is kept of either is a digest under the instance key: a plain one would tell who sees it whether a guessed
    passphrase is the right one. The body has been read as JSON before.
    """
    if key is None:
        return None
    if len(request.headers.getlist(_NAME)) > 1:
        raise InputError(Code.INVALID_REQUEST, f"header.{_NAME}: there is more than one.")
    body = await request.body()
    cell = str(given.settings.cell_root)
    asked_for = [request.method, request.scope["path"], request.url.query, json.loads(body) if body else {}]
    return await asyncio.to_thread(_digests, given, [cell, asked_by, key], [cell, asked_by, *asked_for])


def _digests(given: Resources, key: list[str], asked_for: list[object]) -> Idempotency:
    state_dir = given.settings.state_dir
    return Idempotency(
        key=digest_under_key(state_dir, "idempotency key", _canonical(key)),
        fingerprint=digest_under_key(state_dir, "request", _canonical(asked_for)),
    )


def _canonical(value: list[str] | list[object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
