"""The worker of `serve` is kept alive: one that died is started again, one that hangs is replaced."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from app.keeping import Pulse, worker_environment, worker_kept_alive
from app.settings import Settings
from tests.support.waiting import eventually_async
from workers.heartbeat import beating

# says who it is, then beats as the worker does
STUB = """
import asyncio, os
from workers.heartbeat import beating

async def main() -> None:
    async with beating():
        await asyncio.sleep(0)
        with open(os.environ["TOLD"], "a") as told:
            print(os.getpid(), file=told)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a short process in the worker's place; it writes its id to this file."""
    monkeypatch.setattr("app.keeping.WORKER", (sys.executable, "-c", STUB))
    monkeypatch.setattr("app.keeping._SHORTEST_LIMIT", 4.0)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return tmp_path / "told"


async def nth(told: Path, number: int) -> int:
    """Give the id of the n-th process once it has begun."""

    async def there() -> bool:
        return len(begun(told)) >= number

    await eventually_async(there, what=f"process {number} has begun")
    return begun(told)[number - 1]


def begun(told: Path) -> list[int]:
    return [int(line) for line in told.read_text().split()] if told.exists() else []


def lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def test_a_worker_that_was_stopped_or_killed_is_replaced_and_one_that_beats_is_not(
    told: Path, tmp_path: Path
) -> None:
    async with worker_kept_alive(Settings(cell_root=tmp_path, state_dir=tmp_path, lease_seconds=2)):
        first = await nth(told, 1)
        os.kill(first, signal.SIGSTOP)
        second = await nth(told, 2)
        assert not lives(first)
        os.kill(second, signal.SIGKILL)
        third = await nth(told, 3)
        assert len({first, second, third}) == 3
    assert not lives(third)


async def test_a_worker_that_cannot_be_started_just_now_is_started_later(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "worker"
    monkeypatch.setattr("app.keeping.WORKER", (str(program), "-c", STUB))

    async def failed() -> bool:
        return "could not be started" in caplog.text

    async with worker_kept_alive(Settings(cell_root=tmp_path, state_dir=tmp_path)):
        await eventually_async(failed, what="the worker could not be started")
        draft = tmp_path / "draft"
        draft.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        draft.chmod(0o700)
        draft.rename(program)
        assert lives(await nth(told, 1))


class Heart:
    """A pulse and the pipe it is felt at."""

    def __init__(self, limit: float = 20) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        self.pulse = Pulse(self.read, limit)

    def beat(self) -> None:
        os.write(self.write, b".")

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


def test_silence_is_counted_from_the_last_beat() -> None:
    heart = Heart()
    heart.beat()
    assert not heart.pulse.silent(1)
    assert not any(heart.pulse.silent(1) for _ in range(20))
    heart.beat()
    assert [heart.pulse.silent(1) for _ in range(22)] == [False] * 21 + [True]
    heart.close()


def test_who_has_not_begun_gets_more_time() -> None:
    heart = Heart()
    assert [heart.pulse.silent(1) for _ in range(91)] == [False] * 90 + [True]
    heart.close()


def test_time_in_which_the_keeper_itself_stood_still_does_not_count() -> None:
    """Both were stopped and continued: the worker gets its time to beat again."""
    heart = Heart()
    heart.beat()
    heart.pulse.silent(1)
    assert not heart.pulse.silent(3600)
    heart.close()


async def test_a_full_pipe_or_nobody_who_listens_does_not_harm_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async with beating():
        pass
    monkeypatch.setattr("workers.heartbeat.BEAT_SECONDS", 0)
    heart = Heart()
    os.set_blocking(heart.write, False)
    with suppress(BlockingIOError):
        while os.write(heart.write, b"." * 4096):
            pass
    monkeypatch.setenv("CELL_BACKUP_HEARTBEAT_FD", str(heart.write))
    async with beating():
        for _ in range(9):
            await asyncio.sleep(0)
        while heart.pulse._heard():
            pass
        await eventually_async(lambda: _heard(heart), what="it beats again")
        assert not os.get_inheritable(heart.write)
    os.close(heart.read)


async def _heard(heart: Heart) -> bool:
    return heart.pulse._heard()


def test_a_worker_keeps_little_memory_for_its_threads_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(cell_root=tmp_path)
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert worker_environment(settings)["MALLOC_ARENA_MAX"] == "2"
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")
    assert worker_environment(settings)["MALLOC_ARENA_MAX"] == "8"
