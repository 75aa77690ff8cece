"""Holding containers still for a backup, journalled, so that whoever comes next lets them run again.

The journal is a directory with one small file for each container that is held still: `<container>.json`, 0600.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.engine.base import ContainerState, Engine
from app.engine.shield import see_through
from app.errors import Code, PartError

logger = logging.getLogger(__name__)

_DONE = {"pause": "paused", "stop": "stopped"}
_RETRY_SECONDS = (0.2, 1.0, 3.0)


@dataclass(slots=True)
class Hold:
    """Stand for a container that may be held still; with `stay` it is not let run again when the block ends."""

    stay: bool = False


@asynccontextmanager
async def quiesced(engine: Engine, journal: Path, container: str, mode: str) -> AsyncIterator[Hold]:
    """Hold a running container still (`none`, `pause` or `stop`) while the block runs, and let it run again after.

    Only what ran before is touched. A block that sets `stay` leaves the container held, for `recover`. Raises PartError
    QUIESCE_FAILED where holding it still, or letting it run again, fails; in the second case the journal keeps it for
    `recover`. A cancelled block stays cancelled: there a failure is logged.
    """
    hold = Hold()
    if mode == "none" or (await engine.inspect(container)).state is not ContainerState.RUNNING:
        yield hold
        return
    await see_through(asyncio.to_thread(_add, journal, container, mode))
    try:
        await _hold(engine, container, mode)
        yield hold
    except asyncio.CancelledError:
        try:
            await _release(engine, journal, container, mode, hold)
        except PartError as error:
            logger.error("%s", error.message)  # noqa: TRY400 (expected, and said in full)
        raise
    except BaseException:
        await _release(engine, journal, container, mode, hold)
        raise
    else:
        await _release(engine, journal, container, mode, hold)


async def recover(journal: Path, engine: Engine, *, leave: Collection[str] = ()) -> list[str]:
    """Let every container run again that was left paused or stopped, and say of each what came of it; never raises.

    What cannot be done now stays in the journal for the next time, and so do the containers in `leave`.
    """
    lines = []
    for path in sorted(await asyncio.to_thread(lambda: list(journal.glob("*.json")))):
        container = path.stem
        if container in leave:
            continue
        try:
            mode = await asyncio.to_thread(_read, path)
            await see_through(_let_run(engine, journal, container, mode))
        except PartError as error:
            lines.append(error.message)
        else:
            lines.append(f"{container} was left {_DONE[mode]}, and runs again")
    return lines


async def _release(engine: Engine, journal: Path, container: str, mode: str, hold: Hold) -> None:
    if not hold.stay:
        await see_through(_let_run(engine, journal, container, mode))


async def _hold(engine: Engine, container: str, mode: str) -> None:
    try:
        await (engine.pause(container) if mode == "pause" else engine.stop(container))
    except PartError as error:
        message = f"{container} could not be {_DONE[mode]}: {error.message}"
        raise PartError(Code.QUIESCE_FAILED, message) from error


async def _let_run(engine: Engine, journal: Path, container: str, mode: str) -> None:
    """Undo, with some retries; a container that was removed meanwhile needs nothing."""
    for seconds in (*_RETRY_SECONDS, None):
        try:
            await (engine.unpause(container) if mode == "pause" else engine.start(container))
            break
        except PartError as error:
            if error.code is Code.CONTAINER_MISSING:
                break
            if seconds is None:
                message = f"{container} is left {_DONE[mode]}, which the next worker tries to mend: {error.message}"
                raise PartError(Code.QUIESCE_FAILED, message) from error
        await asyncio.sleep(seconds)
    await asyncio.to_thread(_remove, journal, container)


def _add(journal: Path, container: str, mode: str) -> None:
    """Write down durably that the container is about to be held still."""
    final = journal / f"{container}.json"
    fresh = final.with_suffix(".new")
    try:
        journal.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(fresh, "wb", opener=_private) as file:
            file.write(json.dumps({"container": container, "mode": mode}).encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(final)
        _sync(journal)
    except OSError as error:
        for trace in (fresh, final):
            with suppress(OSError):
                trace.unlink(missing_ok=True)
        raise PartError(Code.QUIESCE_FAILED, f"The journal {final} cannot be written: {error}") from error


def _remove(journal: Path, container: str) -> None:
    try:
        (journal / f"{container}.json").unlink(missing_ok=True)
        _sync(journal)
    except OSError as error:
        raise PartError(
            Code.QUIESCE_FAILED, f"{container} runs again, but stays in the journal {journal}: {error}"
        ) from error


def _read(path: Path) -> str:
    try:
        mode = str(json.loads(path.read_bytes())["mode"])
        if mode not in _DONE:
            raise ValueError(f"mode {mode!r}")  # noqa: TRY301 (one fate for everything that cannot be understood)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PartError(Code.QUIESCE_FAILED, f"The journal {path} cannot be understood: {error}") from error
    return mode


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
