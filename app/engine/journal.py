"""The journal of containers that were paused or stopped for a backup, so that whoever comes next lets them run again."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.engine.base import ContainerState, Engine
from app.engine.shield import see_through
from app.errors import Code, PartError

logger = logging.getLogger(__name__)

_RETRY_SECONDS = (0.2, 1.0, 3.0)


class Quiesce(StrEnum):
    """Name the ways to keep a container still while it is read."""

    NONE = "none"
    PAUSE = "pause"
    STOP = "stop"


class QuiesceJournal:
    """Keep, for one job, which containers it holds still: one JSON file, 0600, gone when there are none."""

    def __init__(self, directory: Path, job_id: str) -> None:
        self.job_id = job_id
        self._path = directory / f"{job_id}.json"

    def read(self) -> dict[str, Quiesce]:
        """Give the containers by name; raise PartError QUIESCE_FAILED where the file cannot be understood."""
        try:
            held = json.loads(self._path.read_bytes())["containers"]
            return {str(name): Quiesce(mode) for name, mode in held.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PartError(Code.QUIESCE_FAILED, f"The journal {self._path} cannot be read: {error}") from error

    def add(self, container: str, mode: Quiesce) -> None:
        """Write down, durably, that the container is about to be held still; raise PartError QUIESCE_FAILED."""
        self._write({**self.read(), container: mode})

    def remove(self, container: str) -> None:
        """Write down, durably, that the container runs again; raise PartError QUIESCE_FAILED."""
        self._write({name: mode for name, mode in self.read().items() if name != container})

    def _write(self, held: dict[str, Quiesce]) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if held:
                self._replace(json.dumps({"job_id": self.job_id, "containers": held}).encode())
            else:
                self._path.unlink(missing_ok=True)
            _sync(self._path.parent)
        except OSError as error:
            raise PartError(Code.QUIESCE_FAILED, f"The journal {self._path} cannot be written: {error}") from error

    def _replace(self, content: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        with open(fresh, "wb", opener=_private) as file:  # noqa: PTH123 (Path.open has no opener)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


@contextlib.asynccontextmanager
async def quiesced(engine: Engine, journal: QuiesceJournal, container: str, mode: Quiesce) -> AsyncIterator[None]:
    """Hold a running container still while the block runs, and let it run again, whatever happens; journalled.

    Only what ran before is touched. Raises PartError QUIESCE_FAILED where holding it still, or letting it run again,
    fails; in the second case the journal keeps it for `recover`. A cancelled block stays cancelled: there a failure is
    logged.
    """
    if mode is Quiesce.NONE or (await engine.inspect(container)).state is not ContainerState.RUNNING:
        yield
        return
    await see_through(asyncio.to_thread(journal.add, container, mode))
    try:
        await _hold(engine, container, mode)
        yield
    except asyncio.CancelledError:
        try:
            await see_through(_let_run(engine, journal, container, mode))
        except PartError as error:
            logger.exception("%s", error.message)
        raise
    except BaseException:
        await see_through(_let_run(engine, journal, container, mode))
        raise
    else:
        await see_through(_let_run(engine, journal, container, mode))


@dataclass(frozen=True, slots=True)
class Recovered:
    """Say what became of one container that a job left paused or stopped; `error` is None where it runs again."""

    job_id: str
    container: str
    error: PartError | None


async def recover(directory: Path, engine: Engine, *, alive: Collection[str] = ()) -> list[Recovered]:
    """Let every container run again that a job left paused or stopped, except jobs that are alive; never raises.

    What cannot be done now stays in the journal for the next time.
    """
    done = []
    for path in sorted(await asyncio.to_thread(lambda: list(directory.glob("*.json")))):
        journal = QuiesceJournal(directory, path.stem)
        if journal.job_id in alive:
            continue
        try:
            held = await asyncio.to_thread(journal.read)
        except PartError as error:
            done.append(Recovered(journal.job_id, path.name, error))
            continue
        for container, mode in held.items():
            done.append(Recovered(journal.job_id, container, await _recovered(engine, journal, container, mode)))
    return done


async def _recovered(engine: Engine, journal: QuiesceJournal, container: str, mode: Quiesce) -> PartError | None:
    try:
        await see_through(_let_run(engine, journal, container, mode))
    except PartError as error:
        return error
    return None


async def _hold(engine: Engine, container: str, mode: Quiesce) -> None:
    try:
        await (engine.pause(container) if mode is Quiesce.PAUSE else engine.stop(container))
    except PartError as error:
        message = f"{container} could not be {'paused' if mode is Quiesce.PAUSE else 'stopped'}: {error.message}"
        raise PartError(Code.QUIESCE_FAILED, message) from error


async def _let_run(engine: Engine, journal: QuiesceJournal, container: str, mode: Quiesce) -> None:
    """Undo, with some retries; a container that was removed meanwhile needs nothing."""
    for seconds in (*_RETRY_SECONDS, None):
        try:
            await (engine.unpause(container) if mode is Quiesce.PAUSE else engine.start(container))
            break
        except PartError as error:
            if error.code is Code.CONTAINER_MISSING:
                break
            if seconds is None:
                message = f"{container} could not be let run again, which is tried again later: {error.message}"
                raise PartError(Code.QUIESCE_FAILED, message) from error
        await asyncio.sleep(seconds)
    await asyncio.to_thread(journal.remove, container)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
