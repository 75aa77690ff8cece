"""The lease on a cell: a key on Redis that one owner keeps alive while it works.

`<namespace>:lease:<cell>`  who holds it, until it runs out
`<namespace>:fence:<cell>`  the newest number
`<namespace>:open:<cell>`   the number that was neither given back nor condemned

A lease that ran out is not lost yet: Redis may have been away for everybody. Until somebody condemns it, its holder
takes it up again as soon as Redis answers. Who wants it waits half a lease time of uninterrupted looks before it
condemns, so that a holder that lives has time to come back.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from app.errors import Code, JobError, UnavailableError
from app.jobs.base import Lease
from app.jobs.connection import RedisLink
from app.jobs.sightings import Sightings

logger = logging.getLogger(__name__)

WAIT_PAUSE = 0.25
RENEW_PAUSE = 0.2
RELEASE_LIMIT = 3.0

# Redis keeps the moment when a key ends: where a clock was set back, the lease of a dead worker would stay for hours.
# So a lease that ends later than its holder, who says how long, can have meant is cut short.
# KEYS of all: lease, fence, open
HOLDER = """
local holder = redis.call('get', KEYS[1])
local most = holder and tonumber(string.match(holder, '^%x+%-(%d+):'))
if most and redis.call('pttl', KEYS[1]) > most then redis.call('pexpire', KEYS[1], most) end
"""

# ARGV: token, time to live in ms.
# Gives the fence; 0 where somebody else holds the lease; the fence as a negative number where its holder may come back.
ACQUIRE = f"""{HOLDER}
if holder and holder ~= ARGV[1] then return 0 end
local number = redis.call('get', KEYS[3])
if not holder and number then return -tonumber(number) end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
if holder then return tonumber(number) end
number = redis.call('incr', KEYS[2])
redis.call('set', KEYS[3], number)
return number
"""

# ARGV: token, time to live in ms, fence
RENEW = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if redis.call('get', KEYS[3]) ~= ARGV[3] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# ARGV: token, number of the lease; 0 is of one whose answer to ACQUIRE was lost
RELEASE = """
local ours = redis.call('get', KEYS[1]) == ARGV[1]
if ours then redis.call('del', KEYS[1]) end
if ours or redis.call('get', KEYS[3]) == ARGV[2] then redis.call('del', KEYS[3]) end
"""

# ARGV: number of the lease that ran out
CONDEMN = """
if redis.call('exists', KEYS[1]) == 1 then return 0 end
if redis.call('get', KEYS[3]) == ARGV[1] then redis.call('del', KEYS[3]) end
if redis.call('get', KEYS[2]) == ARGV[1] then redis.call('incr', KEYS[2]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class _Keys:
    """Name what Redis knows of one lease."""

    lease: str
    fence: str
    open: str

    def all(self) -> list[str]:
        return [self.lease, self.fence, self.open]


class RedisLeases:
    """Give out the lease of a cell; one that is not renewed for `seconds` is in doubt."""

    def __init__(self, link: RedisLink, *, namespace: str, seconds: float) -> None:
        self._link = link
        self._namespace = namespace
        self._seconds = seconds

    @asynccontextmanager
    async def hold(
        self, cell: str, owner: str, *, on_lost: Callable[[], Awaitable[None] | None]
    ) -> AsyncIterator[Lease]:
        """Wait for the lease, renew it every third of its time while the block runs, give it back."""
        lease = RedisLease(self._link, self._keys(cell), owner, self._seconds, on_lost)
        try:
            await lease.acquire()
            keeper = asyncio.create_task(lease.keep())
            try:
                yield lease
            finally:
                await _stop(keeper)
        finally:
            await lease.release()

    async def holder(self, cell: str) -> str | None:
        """Give the owner that holds the lease now, or None."""
        token: bytes | None = await self._link.evaluate(f"{HOLDER}return holder", self._keys(cell).all(), [])
        return None if token is None else token.decode().partition(":")[2]

    async def fence(self, cell: str) -> int:
        """Give the newest number; 0 where nobody ever had the lease."""
        number: bytes | None = await self._link.run(lambda client: client.get(self._keys(cell).fence))
        return 0 if number is None else int(number)

    async def condemn(self, cell: str, fence: int) -> bool:
        """Keep the holder of this number from taking it up again; False where somebody holds the lease."""
        return bool(await self._link.evaluate(CONDEMN, self._keys(cell).all(), [fence]))

    def _keys(self, cell: str) -> _Keys:
        return _Keys(*(f"{self._namespace}:{name}:{cell}" for name in ("lease", "fence", "open")))


class RedisLease:
    """Hold one lease. Redis alone knows whether it is held: no clock of this process is trusted."""

    def __init__(
        self, link: RedisLink, keys: _Keys, owner: str, seconds: float, on_lost: Callable[[], Awaitable[None] | None]
    ) -> None:
        self._link = link
        self._keys = keys.all()
        self._owner = owner
        self._seconds = seconds
        self._token = f"{uuid4().hex}-{self._milliseconds}:{owner}"
        self._on_lost = on_lost
        self._fence = 0
        self._lost = False

    @property
    def fence(self) -> int:
        """Give the growing number of this lease."""
        return self._fence

    async def acquire(self) -> None:
        """Wait until the lease is free, or its holder does not come back, and take it."""
        doubtful = Sightings(enough=self._seconds / 2, late=max(self._seconds / 3, 2 * WAIT_PAUSE))
        while True:
            answer = int(await self._link.evaluate(ACQUIRE, self._keys, [self._token, self._milliseconds]))
            if answer > 0:
                self._fence = answer
                return
            if doubtful.see(answer or None):
                logger.warning("the holder of lease %s did not come back; it is condemned", -answer)
                await self._link.evaluate(CONDEMN, self._keys, [-answer])
            else:
                await asyncio.sleep(WAIT_PAUSE)

    async def check(self) -> None:
        """Wait while Redis is away; raise JobError(WORKER_LOST) where the lease is no longer held."""
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
        """Give the lease back if it is still ours; one that cannot be given back runs out and is condemned."""
        if self._lost:
            return
        try:
            async with asyncio.timeout(RELEASE_LIMIT):
                await self._link.evaluate(RELEASE, self._keys, [self._token, self._fence])
        except (UnavailableError, TimeoutError):
            logger.warning("the lease of %s could not be given back; it runs out in %s s", self._owner, self._seconds)

    @property
    def _milliseconds(self) -> int:
        return int(self._seconds * 1000)

    async def _renewed(self) -> bool:
        """Renew, as often as it takes until Redis answers; False where the lease is somebody else's or condemned."""
        in_doubt = False
        while True:
            try:
                args: list[str | bytes | int] = [self._token, self._milliseconds, self._fence]
                held = bool(await self._link.evaluate(RENEW, self._keys, args, patience=0))
            except UnavailableError as error:
                if not in_doubt:
                    logger.warning("the lease of %s is in doubt: %s", self._owner, error.message)
                in_doubt = True
                await asyncio.sleep(RENEW_PAUSE)
                continue
            if in_doubt and held:
                logger.warning("%s holds the lease again", self._owner)
            return held

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
