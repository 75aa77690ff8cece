"""How arq's worker is set up for the queue of a cell, and how it is ended."""

import asyncio
from typing import Any

from arq.worker import Worker

from app.jobs.address import RedisAddress
from app.jobs.arq_queue import queue_name
from app.jobs.connection import arq_settings, from_json, to_json
from app.settings import Settings

HEALTH_INTERVAL = 15
POLL_DELAY = 0.2
TIMEOUT_MARGIN = 60  # seconds after the job's own limit, for its clean-up; then arq cuts it off


def worker_settings(
    settings: Settings, address: RedisAddress, *, namespace: str, handle_signals: bool
) -> dict[str, Any]:
    """Give the keyword arguments of arq.worker.Worker, except functions, on_startup and on_shutdown."""
    return {
        "redis_settings": arq_settings(address),
        "queue_name": queue_name(namespace),
        "job_serializer": to_json,
        "job_deserializer": from_json,
        "health_check_interval": HEALTH_INTERVAL,
        "poll_delay": POLL_DELAY,
        "max_jobs": 1,
        "max_tries": 1,
        "retry_jobs": False,  # a job that was cut off is recorded as such, never run again by itself
        "job_timeout": settings.job_timeout + TIMEOUT_MARGIN,
        "keep_result": 0,
        "log_results": False,
        "handle_signals": handle_signals,
    }


async def close_worker(worker: Worker) -> None:
    """Cancel the worker's jobs, wait until each has cleaned up, close the worker.

    arq's own close stops half way, with its connections open, where a job is cancelled while arq records its end.
    """
    for task in worker.tasks.values():
        task.cancel()
    if worker.tasks:
        await asyncio.wait(worker.tasks.values())
    worker.tasks.clear()
    await worker.close()
