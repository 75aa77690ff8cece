"""Names looked up in a thread of one's own: a name server that is dead must not take the threads that backups need."""

import asyncio
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override


class _SystemNames(AbstractResolver):
    """Ask the system, which may take its time."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give the addresses of a name; raise OSError where there are none."""
        ask = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, address in found
        ]

    @override
    async def close(self) -> None:
        """Leave the thread to whoever made it."""


@asynccontextmanager
async def system_names() -> AsyncIterator[AbstractResolver]:
    """Look up names while the block runs; a look-up that still goes on then is left behind."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="webhook-names")
    try:
        yield _SystemNames(pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
