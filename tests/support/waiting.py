"""Waiting for what happens in another process: by looking, up to a generous limit."""

import asyncio
import time
from collections.abc import Awaitable, Callable

LIMIT = 30.0
PAUSE = 0.02


def eventually(condition: Callable[[], bool], *, what: str, limit: float = LIMIT) -> None:
    """Return as soon as the condition holds; fail after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit} s in vain until {what}"
        time.sleep(PAUSE)


async def eventually_async(condition: Callable[[], Awaitable[bool]], *, what: str, limit: float = LIMIT) -> None:
    """Return as soon as the condition holds; fail after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not await condition():
        assert time.monotonic() < deadline, f"waited {limit} s in vain until {what}"
        await asyncio.sleep(PAUSE)
