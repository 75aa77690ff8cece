"""The lease on a cell: a key on Redis that one owner keeps alive while it works."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from uuid import uuid4

from app.errors import Code, JobError, UnavailableError
from app.jobs.base import Lease
from app.jobs.connection import RedisLink

logger = logging.getLogger(__name__)

WAIT_PAUSE = 0.25
RENEW_PAUSE = 0.2
RELEASE_LIMIT = 3.0

# KEYS: lease, fence; ARGV: token, time to live in ms. Gives the fence, or 0 where somebody else holds the lease.
ACQUIRE = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
if holder then return tonumber(redis.call('get', KEYS[2])) end
return redis.call('incr', KEYS[2])
"""

RENEW = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('pexpire', KEYS[1], ARGV[2])
"""

RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
"""


class RedisLeases:
    """Give out the lease of a cell; one that is not renewed for `seconds` is over."""

    def __init__(self, link: RedisLink, *, namespace: str, seconds: float) -> None:
        self._link = link
        self._namespace = namespace
        self._seconds = seconds

    @asynccontextmanager
    async def hold(
        self, cell: str, owner: str, *, on_lost: Callable[[], Awaitable[None] | None]
    ) -> AsyncIterator[Lease]:
        """Wait for the lease, renew it every third of its time while the block runs, give it back."""
        lease = RedisLease(self._link, self._key(cell), owner, self._seconds, on_lost)
        try:
            await lease.acquire(f"{self._namespace}:fence:{cell}")
            keeper = asyncio.create_task(lease.keep())
            try:
                yield lease
            finally:
                await _stop(keeper)
        finally:
            await lease.release()

    async def holder(self, cell: str) -> str | None:
        """Give the owner that holds the lease now, or None."""
        token: bytes | None = await self._link.run(lambda client: client.get(self._key(cell)))
        return None if token is None else token.decode().partition(":")[2]

    def _key(self, cell: str) -> str:
        return f"{self._namespace}:lease:{cell}"


class RedisLease:
    """Hold one lease; between two renewals the holder trusts its own clock, never longer than Redis does."""

    def __init__(
        self, link: RedisLink, key: str, owner: str, seconds: float, on_lost: Callable[[], Awaitable[None] | None]
    ) -> None:
        self._link = link
        self._key = key
        self._owner = owner
        self._token = f"{uuid4().hex}:{owner}"
        self._seconds = seconds
        self._on_lost = on_lost
        self._deadline = 0.0
        self._fence = 0
        self._lost = False

    @property
    def fence(self) -> int:
        """Give the growing number of this lease."""
        return self._fence

    async def acquire(self, fence_key: str) -> None:
        """Wait until the lease is free and take it."""
        args: list[str | bytes | int] = [self._token, self._milliseconds]
        while True:
            asked = monotonic()
            self._fence = int(await self._link.evaluate(ACQUIRE, [self._key, fence_key], args))
            if self._fence:
                self._deadline = asked + self._seconds
                return
            await asyncio.sleep(WAIT_PAUSE)

    async def check(self) -> None:
        """Raise JobError(WORKER_LOST) where the lease is no longer held."""
        if not self._lost and not await self._renewed():
            await self._lose()
        if self._lost:
            raise JobError(Code.WORKER_LOST, f"{self._owner} lost the lease; another worker may hold it.")

    async def keep(self) -> None:
        """Renew until cancelled, or until the lease is lost."""
        while not self._lost:
            await asyncio.sleep(self._seconds / 3)
            if not await self._renewed():
                await self._lose()

    async def release(self) -> None:
        """Give the lease back if it is still ours; one that cannot be given back runs out by itself."""
        if self._lost:
            return
        try:
            async with asyncio.timeout(RELEASE_LIMIT):
                await self._link.evaluate(RELEASE, [self._key], [self._token])
        except (UnavailableError, TimeoutError):
            logger.warning("the lease of %s could not be given back; it ends in %s s", self._owner, self._seconds)

    @property
    def _milliseconds(self) -> int:
        return int(self._seconds * 1000)

    async def _renewed(self) -> bool:
        """Renew, as often as it takes until the deadline; False where the lease is gone."""
        while (asked := monotonic()) < self._deadline:
            try:
                async with asyncio.timeout(self._deadline - asked):
                    held = await self._link.evaluate(RENEW, [self._key], [self._token, self._milliseconds])
            except (UnavailableError, TimeoutError):
                await asyncio.sleep(RENEW_PAUSE)
                continue
            if held:
                self._deadline = max(self._deadline, asked + self._seconds)
            return bool(held)
        return False

    async def _lose(self) -> None:
        if self._lost:
            return
        self._lost = True
        logger.error("%s lost the lease", self._owner)
        answer = self._on_lost()
        if inspect.isawaitable(answer):
            await answer


async def _stop(keeper: asyncio.Task[None]) -> None:
    keeper.cancel()
    await asyncio.wait([keeper])
    if not keeper.cancelled():
        keeper.result()  # what `on_lost` raised
