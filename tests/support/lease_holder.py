"""A process that holds a lease: `lease_holder.py URL NAMESPACE CELL SECONDS`."""

import asyncio
import sys

from app.errors import JobError
from app.jobs.connection import open_link
from app.jobs.lease import RedisLeases


async def main(url: str, namespace: str, cell: str, seconds: str) -> None:
    lost = asyncio.Event()
    async with open_link(url, patience=5) as link:
        leases = RedisLeases(link, namespace=namespace, seconds=float(seconds))
        async with leases.hold(cell, "stopped", on_lost=lost.set) as lease:
            _say(f"holds {lease.fence}")
            await lost.wait()
            _say("lost")
            try:
                await lease.check()
            except JobError as error:
                _say(error.code)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
