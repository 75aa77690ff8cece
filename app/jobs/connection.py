"""Connections to Redis: one client for our own rooms, one for arq's worker, one set of errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, TypeVar

from arq.connections import ArqRedis
from redis import exceptions as redis_errors
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from app.errors import Code, UnavailableError
from app.jobs.address import RedisAddress, parse_redis_url

T = TypeVar("T")

CONNECT_TIMEOUT = 2
COMMAND_TIMEOUT = 10
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
ARQ_RETRIES = 8  # some ten seconds
# OSError is what a refused connection is before redis-py has wrapped it
TRANSIENT = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)
# a server that is there but cannot write just now: its disk or its memory is full, or it follows another one
BUSY = (redis_errors.OutOfMemoryError, redis_errors.ReadOnlyError)
BUSY_WORDS = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY ")
BUSY_IN_SCRIPT = ("-OOM ", "-READONLY ", "-MISCONF ", "-NOREPLICAS ")  # how Redis before 7 says it of a script


def to_json(value: dict[str, Any]) -> bytes:
    """Write what arq stores; arq's default is pickle, which runs whatever is in it."""
    return json.dumps(value, default=repr).encode()


def from_json(data: bytes) -> dict[str, Any]:
    """Read what arq stored."""
    value: dict[str, Any] = json.loads(data)
    return value


def arq_client(address: RedisAddress) -> ArqRedis:
    """Make a client for arq's worker, which has no patience of its own: it waits out a short absence of the server.

    Given to arq ready-made, because one that arq makes would wait for ever for a server that stands still.
    """
    retry = Retry(ExponentialBackoff(cap=2, base=0.1), ARQ_RETRIES)
    return _client(address, retry=retry, retry_on_timeout=True, retry_on_error=list(TRANSIENT))


def _client(address: RedisAddress, **retrying: Any) -> ArqRedis:
    return ArqRedis(
        host=address.host,
        port=address.port,
        unix_socket_path=address.socket,
        db=address.database,
        username=address.username,
        password=address.password,
        ssl=address.tls,
        ssl_cert_reqs=address.cert_reqs,
        ssl_ca_certs=address.ca_certs,
        ssl_check_hostname=address.check_hostname,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=COMMAND_TIMEOUT,
        job_serializer=to_json,
        job_deserializer=from_json,
        **retrying,
    )


class RedisLink:
    """Run commands on Redis, try again for `patience` seconds while it is away, translate its errors.

    An operation may run twice when a reply is lost, so each must come out the same the second time.
    """

    def __init__(self, client: ArqRedis, *, patience: float) -> None:
        self._client = client
        self._patience = patience

    async def run(self, operation: Callable[[ArqRedis], Awaitable[T]], *, patience: float | None = None) -> T:
        """Give what the operation gives; raise UnavailableError(REDIS_UNAVAILABLE).

        `patience` replaces the link's own for this once.
        """
        deadline = monotonic() + (self._patience if patience is None else patience)
        pause = FIRST_PAUSE
        while True:
            try:
                return await heeding_cancellation(operation(self._client))
            except (redis_errors.AuthenticationError, redis_errors.AuthorizationError) as error:
                raise _away("does not let this client in", error) from error
            except (redis_errors.RedisError, OSError) as error:
                if not _may_pass(error):
                    raise _away("refused a command", error) from error
                if monotonic() + pause > deadline:
                    raise _away("cannot be reached", error) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def ping(self) -> None:
        """Raise UnavailableError(REDIS_UNAVAILABLE) where Redis does not answer."""
        await self.run(lambda client: client.ping())

    async def evaluate(
        self, script: str, keys: list[str], args: list[str | bytes | int], *, patience: float | None = None
    ) -> Any:
        """Run a Lua script, which Redis runs as one step."""
        return await self.run(lambda client: client.register_script(script)(keys=keys, args=args), patience=patience)


async def heeding_cancellation(work: Awaitable[T]) -> T:
    """Give what the work gives, unless it swallowed a cancellation of this task, which is raised here.

    redis-py sends by `wait_for`, which before Python 3.12 loses a cancellation that comes as the sending ends: a loop
    that asks Redis for ever would go on for ever.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        return await work
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def _may_pass(error: Exception) -> bool:
    if isinstance(error, (*TRANSIENT, *BUSY, redis_errors.WatchError)):
        return True
    words = str(error)
    return words.startswith(BUSY_WORDS) or any(word in words for word in BUSY_IN_SCRIPT)


def _away(what: str, error: Exception) -> UnavailableError:
    return UnavailableError(Code.REDIS_UNAVAILABLE, f"Redis {what}: {error}")


@asynccontextmanager
async def open_link(redis_url: str, *, patience: float) -> AsyncIterator[RedisLink]:
    """Open a link; nothing is sent before the first command. Raise InputError(INVALID_SETTING) for a bad address."""
    client = _client(parse_redis_url(redis_url))
    try:
        yield RedisLink(client, patience=patience)
    finally:
        await client.aclose()
