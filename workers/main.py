"""The worker process: takes jobs off the queue, one at a time."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from arq.worker import Worker, func

from app.errors import BackupError, Code, InputError
from app.jobs.address import parse_redis_url
from app.jobs.arq_worker import SteadyWorker, close_worker, worker_settings
from app.jobs.records import JobKind
from app.jobs.rooms import namespace_of
from app.jobs.watch import watching
from app.logs import configure_logging
from app.settings import Settings, load_settings
from workers.aftermath import telling
from workers.backup import backup
from workers.heartbeat import beating
from workers.maintenance import recover_cell, regenerate_at_start
from workers.prune import prune
from workers.restore import restore
from workers.running import run_job
from workers.scheduling import scheduling
from workers.tools import open_tools
from workers.verify import verify_archive

log = logging.getLogger("cell_backup.worker")

Context = dict[str, Any]

# reading, compressing and writing hand over thousands of times a second: Python's 5 ms would cost a tenth of the speed
_SWITCH_INTERVAL = 0.0005


async def run_backup(ctx: Context, *, job_id: str) -> None:
    """Run a queued backup."""
    with _noted(ctx):
        await run_job(ctx["tools"], job_id, backup)


async def run_verify(ctx: Context, *, job_id: str) -> None:
    """Run a queued verification."""
    with _noted(ctx):
        await run_job(ctx["tools"], job_id, verify_archive)


async def run_restore(ctx: Context, *, job_id: str) -> None:
    """Run a queued restore."""
    with _noted(ctx):
        await run_job(ctx["tools"], job_id, restore)


async def run_prune(ctx: Context, *, job_id: str) -> None:
    """Run a queued prune."""
    with _noted(ctx):
        await run_job(ctx["tools"], job_id, prune)


@contextmanager
def _noted(ctx: Context) -> Iterator[None]:
    """Note the job's task until it has ended: before Python 3.12, arq lets go of one that is cancelled twice."""
    task = asyncio.current_task()
    ctx["running"].add(task)
    try:
        yield
    finally:
        ctx["running"].discard(task)
        ctx["wake"]()


async def work(settings: Settings) -> None:
    """Work until told to stop; raises InputError INVALID_SETTING where the settings don't fit."""
    if settings.redis_url is None:
        hint = "Set it, or run 'cell-backup serve', which starts a server of its own."
        raise InputError(Code.INVALID_SETTING, "CELL_BACKUP_REDIS_URL is not set.", hint=hint)
    redis_url = settings.redis_url.get_secret_value()
    running: set[asyncio.Task[None]] = set()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(beating())
        tools = await stack.enter_async_context(open_tools(settings, redis_url))
        wake = await stack.enter_async_context(telling(tools))
        recover = partial(recover_cell, tools)
        await stack.enter_async_context(watching(tools.jobs, settings, recover=recover))
        await stack.enter_async_context(scheduling(tools))
        worker = _worker(settings, redis_url, {"tools": tools, "running": running, "wake": wake})
        stack.push_async_callback(close_worker, worker, running)
        stack.callback(tools.stopping.set)
        with suppress(asyncio.CancelledError):  # how arq says that a signal ended it
            await worker.async_run()


def _worker(settings: Settings, redis_url: str, context: Context) -> Worker:
    namespace = namespace_of(settings.cell_root)

    async def startup(ctx: Context) -> None:
        await ctx["tools"].jobs.secrets.ping()  # waits for a server that is away; a wrong password is said at once
        await recover_cell(ctx["tools"])
        await regenerate_at_start(ctx["tools"])

    return SteadyWorker(
        functions=[
            func(run_backup, name=JobKind.BACKUP),
            func(run_verify, name=JobKind.VERIFY),
            func(run_restore, name=JobKind.RESTORE),
            func(run_prune, name=JobKind.PRUNE),
        ],
        on_startup=startup,
        ctx=context,
        **worker_settings(parse_redis_url(redis_url), namespace=namespace, handle_signals=True),
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out arq's traceback of a job that was told to end: its record says so, and so does our own line."""
    return record.exc_info is None or record.exc_info[0] is not asyncio.CancelledError


def main() -> int:
    """Run the worker process; 1 where it could not begin."""
    try:
        settings = load_settings()
        configure_logging(settings)
        sys.setswitchinterval(_SWITCH_INTERVAL)
        logging.getLogger("arq").setLevel(logging.WARNING)  # its own lines would show every argument
        logging.getLogger("arq.worker").addFilter(_is_news)
        asyncio.run(work(settings))
    except BackupError as error:
        log.error("%s %s", error.message, error.hint)  # noqa: TRY400 - expected, and said in full
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
