"""Keeps one worker process running: starts it again when it died, and replaces it when it hangs.

A process that hangs or was stopped does not end, so nobody who waits for its end would ever notice. What systemd's
watchdog does for services is done here for the worker of `serve` and of `worker --keep`: it inherits a pipe and writes
a byte every two seconds from its event loop; when none came for a while it is killed. A worker that only waits, for an
engine or for Redis, has an event loop that runs: it beats on.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.jobs.embedded import die_with_parent
from app.settings import Settings

log = logging.getLogger("cell_backup")

WORKER = (sys.executable, "-m", "workers.main")
HEARTBEAT = "CELL_BACKUP_HEARTBEAT_FD"
BEAT_SECONDS = 2.0
_SHORTEST_LIMIT = 20.0
_START_LIMIT = 90.0  # before its first beat a worker imports all it has
_LOOK_SECONDS = 1.0
_GRACE = 25.0
_LONGEST_PAUSE = 30.0
# glibc keeps what threads give back for each of them apart, and every job has new ones (mallopt(3), M_ARENA_MAX)
_MEMORY = {"MALLOC_ARENA_MAX": "2"}


@asynccontextmanager
async def worker_kept_alive(settings: Settings, *, grace: float = _GRACE) -> AsyncIterator[None]:
    """Keep one worker process running while the block runs; at its end it has `grace` seconds to end by itself."""
    keeper = asyncio.create_task(_keep_worker(settings, grace))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.wait({keeper})


def worker_environment(settings: Settings) -> dict[str, str]:
    """Give the worker the settings this process has, however it got them; the address may hold a password."""
    given = {
        "CELL_BACKUP_CELL_ROOT": str(settings.cell_root),
        "CELL_BACKUP_BACKUP_DIR": str(settings.archives_dir),
        "CELL_BACKUP_STATE_DIR": str(settings.state_dir),
    }
    if settings.redis_url is not None:
        given["CELL_BACKUP_REDIS_URL"] = settings.redis_url.get_secret_value()
    return {**_MEMORY, **os.environ, **given}


async def _keep_worker(settings: Settings, grace: float) -> None:
    pause = 1.0
    loop = asyncio.get_running_loop()
    limit = max(settings.lease_seconds, _SHORTEST_LIMIT)
    while True:
        begun = loop.time()
        try:
            said = f"ended with exit code {await _work_once(settings, limit, grace)}"
        except OSError as error:  # no memory, or no more processes, just now
            said = f"could not be started: {error}"
        pause = 1.0 if loop.time() - begun > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
        log.error("the worker %s; it is started again in %.0f s", said, pause)
        await asyncio.sleep(pause)


async def _work_once(settings: Settings, limit: float, grace: float) -> int:
    async with _worker_process(settings, grace) as (process, beats):
        watch = asyncio.create_task(_kill_when_silent(process, Pulse(beats, limit)))
        try:
            return await process.wait()
        finally:
            watch.cancel()
            await asyncio.wait({watch})


@asynccontextmanager
async def _worker_process(settings: Settings, grace: float) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    beats, given = os.pipe()
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *WORKER,
                env={**worker_environment(settings), HEARTBEAT: str(given)},
                pass_fds=[given],
                # its Redis may be gone too, and it would wait for it; the next start tidies up
                preexec_fn=die_with_parent(signal.SIGKILL),
                start_new_session=True,
            )
        finally:
            os.close(given)
        os.set_blocking(beats, False)
        try:
            yield process, beats
        finally:
            await _ended(process, grace)
    finally:
        os.close(beats)


async def _ended(process: asyncio.subprocess.Process, grace: float) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), grace)
        except TimeoutError:
            process.kill()
            await process.wait()


class Pulse:
    """Tell whether a worker has been silent for too long, by looking every second or so at what it wrote."""

    def __init__(self, beats: int, limit: float) -> None:
        self._beats = beats
        self._limit = limit
        self._quiet = 0.0
        self._began = False

    def silent(self, passed: float) -> bool:
        """Look after so many seconds; those in which this process could not look itself don't count."""
        if self._heard():
            self._began, self._quiet = True, 0.0
        else:
            self._quiet += min(passed, 2 * _LOOK_SECONDS)
        return self._quiet > (self._limit if self._began else max(self._limit, _START_LIMIT))

    def _heard(self) -> bool:
        with suppress(BlockingIOError):
            return bool(os.read(self._beats, 4096))
        return False


async def _kill_when_silent(process: asyncio.subprocess.Process, pulse: Pulse) -> None:
    loop = asyncio.get_running_loop()
    looked = loop.time()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        now = loop.time()
        if pulse.silent(now - looked):
            log.error("worker %s gives no sign of life; it is killed", process.pid)
            with suppress(ProcessLookupError):
                process.kill()
            return
        looked = now
