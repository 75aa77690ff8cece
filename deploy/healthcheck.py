# ruff: noqa: INP001 - a script of the image, in no package
"""Say by the exit code whether the API or a worker in this container is well; for HEALTHCHECK, which needs no curl."""

import asyncio
import http.client
import os
import sys

PATIENCE = 5.0


def api_is_well() -> bool:
    """Ask the API whether it answers."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("CELL_BACKUP_PORT") or 8300), PATIENCE)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


async def worker_is_well() -> bool:
    """Ask Redis whether a worker of this cell reported itself."""
    # the API's check has no use for these, and runs as often
    from app.errors import BackupError  # noqa: PLC0415
    from app.jobs.rooms import open_jobs  # noqa: PLC0415
    from app.settings import load_settings  # noqa: PLC0415

    try:
        settings = load_settings()
        if settings.redis_url is None:
            return False
        async with open_jobs(settings, settings.redis_url.get_secret_value()) as jobs:
            return await jobs.queue.workers_alive()
    except BackupError:
        return False


if __name__ == "__main__":
    well = asyncio.run(worker_is_well()) if sys.argv[1:] == ["worker"] else api_is_well()
    sys.exit(not well)
