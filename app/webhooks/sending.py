"""One attempt to deliver a webhook: to the address that was checked, within seconds, whatever the receiver does."""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from app import __version__
from app.webhooks.addresses import Networks
from app.webhooks.failures import words_for
from app.webhooks.names import system_names
from app.webhooks.showing import shown
from app.webhooks.signing import key_of, signed_headers
from app.webhooks.targets import Target

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
_MOST_OF_AN_ANSWER = 1024
_SLOW_DOWN = frozenset({429, 503})  # where Retry-After is obeyed
_LIMITS = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Say what came of one attempt; `retry_after` is the receiver's own wish, in seconds."""

    at: datetime
    seconds: float = 0.0
    status: int | None = None
    error: str | None = None
    answer: str = ""
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        """Tell whether the receiver took the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def unwanted(self) -> bool:
        """Tell whether the receiver said that it wants no more."""
        return self.status == 410


@dataclass(slots=True)
class _Door:
    """Open sockets to allowed addresses only: what is checked is the very address that is connected to."""

    networks: Networks
    encrypted: bool
    refusals: list[str] = field(default_factory=list)

    def open(self, wanted: aiohttp.AddrInfoType) -> socket.socket:
        """Make a socket for an address; raise PermissionError where it is not allowed."""
        family, kind, protocol, _, address = wanted
        refusal = self.networks.refusal(str(address[0]), encrypted=self.encrypted)
        if refusal is not None:
            self.refusals.append(refusal)
            raise PermissionError(refusal)
        return socket.socket(family, kind, protocol)


async def send(
    target: Target, message_id: str, body: bytes, networks: Networks, *, resolver: AbstractResolver | None = None
) -> Attempt:
    """Send a signed message once and say what came of it; no redirect is followed and no proxy is used.

    `resolver` looks up names in the place of the system's own.
    """
    at, began = datetime.now(UTC), time.monotonic()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"cell-backup/{__version__}",
        "Accept-Encoding": "identity",  # the first bytes are shown as they come
        **signed_headers(key_of(target.secret), message_id, at, body),
    }
    door = _Door(networks, encrypted=URL(target.url).scheme == "https")
    try:
        async with nullcontext(resolver) if resolver else system_names() as names:
            attempt = await _post(target, headers, body, door, names)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        attempt = Attempt(at, error=words_for(error, door.refusals))
    return replace(attempt, at=at, seconds=round(time.monotonic() - began, 3))


async def _post(
    target: Target, headers: Mapping[str, str], body: bytes, door: _Door, names: AbstractResolver
) -> Attempt:
    # made anew each time, in a thread: it reads the host's authorities, which may change while the service runs
    trust = await asyncio.to_thread(ssl.create_default_context) if door.encrypted else True
    connector = aiohttp.TCPConnector(
        ssl=trust, socket_factory=door.open, resolver=names, use_dns_cache=False, force_close=True
    )
    async with (
        aiohttp.ClientSession(connector=connector, timeout=_LIMITS, auto_decompress=False, trust_env=False) as session,
        session.post(URL(target.url), data=body, headers=headers, allow_redirects=False) as answer,
    ):
        first = await _first_bytes(answer)
        retry_after = _seconds(answer.headers.get("Retry-After")) if answer.status in _SLOW_DOWN else None
        return Attempt(datetime.now(UTC), status=answer.status, answer=shown(first, target), retry_after=retry_after)


async def _first_bytes(answer: aiohttp.ClientResponse) -> bytes:
    """Read the beginning of an answer; its status counts, even where the rest never comes."""
    first = bytearray()
    try:
        while len(first) < _MOST_OF_AN_ANSWER:
            chunk = await answer.content.read(_MOST_OF_AN_ANSWER - len(first))
            if not chunk:
                break
            first += chunk
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    return bytes(first)


def _seconds(text: str | None) -> float | None:
    """Read Retry-After, which is a number of seconds or a date; None where it is neither."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
