"""A full disk under the embedded server: it refuses to write, goes on reading, and needs nobody's help later."""

import os
from pathlib import Path

import pytest

from app.errors import Code, UnavailableError
from app.jobs.connection import RedisLink, open_link
from app.jobs.embedded import embedded_server
from tests.faults.disks import leave_free, small_disk
from tests.support.waiting import eventually_async

MEGABYTE = 1 << 20

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


async def test_the_embedded_server_outlives_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * MEGABYTE) as disk:
        async with embedded_server(disk / "state") as url, open_link(url, patience=0) as link:
            await write(link, "before")
            leave_free(disk, 8)
            await eventually_async(lambda: refused(link), what="writes are refused")
            assert await link.run(lambda client: client.get("before")) is not None
            (disk / ".ballast").unlink()
            await eventually_async(lambda: taken(link), what="writes are taken again")


async def write(link: RedisLink, key: str) -> None:
    await link.run(lambda client: client.set(key, os.urandom(64 * 1024)))


async def refused(link: RedisLink) -> bool:
    try:
        await write(link, "more")
    except UnavailableError as error:
        return error.code is Code.REDIS_UNAVAILABLE
    return False


async def taken(link: RedisLink) -> bool:
    return not await refused(link)
