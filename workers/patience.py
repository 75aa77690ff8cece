"""Waiting for a Redis that is away: as long as the worker lives, and for moments only once it is to end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from app.errors import UnavailableError

log = logging.getLogger("cell_backup.worker")

T = TypeVar("T")

LAST_SECONDS = 3.0
_PAUSE = 0.5


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until Redis answers."""
    told = False
    while True:
        try:
            return await ask()
        except UnavailableError as error:
            if not told:
                log.warning("waiting: %s", error.message)
            told = True
            await asyncio.sleep(_PAUSE)


async def while_working(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do something that may have to wait for Redis; False where it was given up because the worker is to end.

    A supervisor that told the worker to end kills it soon; whoever recovers does what is left.
    """
    doing = asyncio.create_task(work)
    limit = asyncio.create_task(_last_moment(stopping))
    try:
        await asyncio.wait({doing, limit}, return_when=asyncio.FIRST_COMPLETED)
        done = doing.done()
    finally:
        for task in (doing, limit):
            task.cancel()
        await asyncio.wait({doing, limit})
    if done:
        doing.result()
    return done


async def _last_moment(stopping: asyncio.Event) -> None:
    await stopping.wait()
    await asyncio.sleep(LAST_SECONDS)
