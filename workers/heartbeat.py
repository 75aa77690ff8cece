"""The worker's sign of life: a byte every two seconds from its event loop, to whoever started it.

The other end is app/keeping.py, which says why.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.keeping import BEAT_SECONDS, HEARTBEAT


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Beat while the block runs, where somebody listens."""
    given = os.environ.pop(HEARTBEAT, None)
    if given is None:
        yield
        return
    descriptor = int(given)
    os.set_inheritable(descriptor, False)
    os.set_blocking(descriptor, False)
    heart = asyncio.create_task(_beat(descriptor))
    try:
        yield
    finally:
        heart.cancel()
        await asyncio.wait({heart})
        os.close(descriptor)


async def _beat(descriptor: int) -> None:
    while True:
        # nobody reads just now, or nobody is left to read
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(descriptor, b".")
        await asyncio.sleep(BEAT_SECONDS)
