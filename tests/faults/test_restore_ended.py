"""A restore that is ended from outside: put back before its commit, in every stage; done after it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from typing_extensions import override

from app.catalog.local import LocalStore
from app.cell.restoring.swap import Swap
from app.cell.restoring.workspace import Workspace
from app.engine.base import Container, VolumeSink
from app.engine.memory import MemoryEngine
from app.engine.memory_writing import MemoryWriting
from app.errors import Code
from app.jobs.records import Job, JobState
from tests.faults.gates import LIMIT
from tests.faults.house import House
from tests.faults.restoring import (
    COMPONENTS,
    STAGES,
    assert_put_back,
    assert_restored,
    assert_same,
    code_of,
    queue_restore,
    restored,
    result_of,
    saved_and_changed,
    volume,
)
from workers.restore import restore

# --- ended from outside, in every stage


class StillArchive(FileIO):
    """Be read only once the job is to end."""

    def __init__(self, path: Path, wait: Callable[[], None]) -> None:
        super().__init__(path)
        self._wait = wait

    @override
    def readinto(self, buffer: Any, /) -> int | None:
        self._wait()
        return super().readinto(buffer)

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        self._wait()
        return super().read(-1 if size is None else size)


class StillStore(LocalStore):
    """Give archives that nobody can read until the job is to end."""

    def __init__(self, directory: Path, wait: Callable[[], None]) -> None:
        super().__init__(directory)
        self._wait = wait

    @override
    def open(self, backup_id: str) -> BinaryIO:
        return StillArchive(self.path(backup_id), self._wait)


class StillEngine(MemoryEngine):
    """Answer which containers there are only so many times."""

    answers = 0

    @override
    async def containers(self) -> list[Container]:
        if not self.answers:
            await asyncio.Event().wait()
        self.answers -= 1
        return await super().containers()


def told_to_end(house: House) -> None:
    """Wait, in a thread, until the job that runs is told to end."""
    assert house.runs[-1].threads._stop.wait(LIMIT), "the job was not told to end"


@contextmanager
def held_in(house: House, stage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the restore stand still in a stage until it is told to end."""
    asks = {"plan": 0, "finish": 2}
    if stage == "verify":
        house.store = StillStore(house.archives, lambda: told_to_end(house))
    elif stage in asks:
        still = StillEngine(house.machines)
        still.answers = asks[stage]
        house.memory_engine = still
    elif stage == "safety":
        volume(house, "mail").hold = True
    elif stage in COMPONENTS:
        original = Swap.apply

        def apply(self: Swap, component: str, keep_going: Callable[[], None] = lambda: None) -> None:
            original(self, component, keep_going)
            if component == stage:
                told_to_end(house)
                keep_going()

        monkeypatch.setattr(Swap, "apply", apply)
    else:
        assert stage == "volumes"
        volume(house, "site").planned = [MemoryWriting(hold=True, fault_at=100)]
    yield
    house.store = None
    volume(house, "mail").hold = False


async def ended_by(house: House, how: str, stage: str, **request: Any) -> Job:
    """Run the restore that is held in a stage, and end it there."""
    job = await queue_restore(house, **request)
    if how == "timeout":
        house.configure(job_timeout=_TIMEOUT)
        return await house.work(restore, job_id=job.job_id)
    running = asyncio.create_task(house.work(restore, job_id=job.job_id))
    await house.seen_in(stage, job_id=job.job_id)
    if how == "cancel":
        await house.jobs.store.request_cancel(job.job_id)
    elif how == "lease":
        await house.jobs.leases.lose(str(house.root))
    else:
        running.cancel()  # as arq does when its worker is told to end
    return await running


_TIMEOUT = 5  # many times what a restore takes here: the stage is reached before
CODES = {
    "cancel": Code.CANCELLED,
    "timeout": Code.JOB_TIMEOUT,
    "lease": Code.WORKER_LOST,
    "shutdown": Code.WORKER_STOPPED,
}


def ends(stages: Sequence[str], timeout_in: str) -> list[tuple[str, str]]:
    """Combine every end with every stage, but for the timeout, which costs seconds."""
    return [(how, stage) for how in CODES for stage in stages if how != "timeout" or stage == timeout_in]


@pytest.mark.parametrize(("how", "stage"), ends(["verify", "plan", "safety"], "safety"))
async def test_ended_before_the_first_change(
    house: House, how: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before = await saved_and_changed(house)
    archives = sorted(house.archives.iterdir())
    with held_in(house, stage, monkeypatch):
        job = await ended_by(house, how, stage)
    assert (job.state, code_of(job)) == (JobState.CANCELLED if how == "cancel" else JobState.FAILED, CODES[how])
    assert_same(house, before)
    assert sorted(house.archives.iterdir()) == archives
    assert job.stage == stage
    assert "rolled_back" not in result_of(job)


@pytest.mark.parametrize(("how", "stage"), ends([*COMPONENTS, "volumes"], "volumes"))
async def test_ended_after_it(house: House, how: str, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = await saved_and_changed(house)
    with held_in(house, stage, monkeypatch):
        job = await ended_by(house, how, stage)
    assert_put_back(house, before, job, CODES[how], JobState.CANCELLED if how == "cancel" else JobState.FAILED)
    assert job.stage == stage


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a request and never answer it."""
    await reader.read()
    writer.close()


@asynccontextmanager
async def silent_api(house: House) -> AsyncIterator[None]:
    """Let the cell's own API listen and say nothing."""
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    house.configure(cell_api_url=f"http://127.0.0.1:{port}")
    try:
        yield
    finally:
        server.close()


@pytest.mark.parametrize("how", CODES)
async def test_ended_while_the_cells_api_reads_its_configuration(house: House, how: str) -> None:
    _, before = await saved_and_changed(house)
    async with silent_api(house):
        job = await ended_by(house, how, "reload")
    assert_put_back(house, before, job, CODES[how], JobState.CANCELLED if how == "cancel" else JobState.FAILED)


class CancellingEngine(MemoryEngine):
    """Cancel the job once more each time that a volume is about to be put back."""

    def __init__(self, house: House, cancel: Callable[[], object]) -> None:
        super().__init__(house.machines)
        self._house = house
        self._cancel = cancel

    @override
    @asynccontextmanager
    async def write_volume(
        self, container: str, path: str, *, empty: bool, plain: bool = False
    ) -> AsyncIterator[VolumeSink]:
        if self._house.runs[-1].threads._stop.is_set():
            self._cancel()
            await asyncio.sleep(0)
        async with super().write_volume(container, path, empty=empty, plain=plain) as sink:
            yield sink


async def test_cancelled_again_while_it_is_put_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = await saved_and_changed(house)
    loop = asyncio.get_running_loop()
    original = Workspace.roll_back
    cancelled: list[str] = []

    def cancel(when: str) -> None:
        cancelled.append(when)
        running.cancel()

    def roll_back(self: Workspace) -> tuple[str, ...]:
        loop.call_soon_threadsafe(cancel, "files")
        return original(self)

    monkeypatch.setattr(Workspace, "roll_back", roll_back)
    house.memory_engine = CancellingEngine(house, lambda: cancel("a volume"))
    with held_in(house, "volumes", monkeypatch):
        job = await queue_restore(house)
        running = asyncio.create_task(house.work(restore, job_id=job.job_id))
        await house.seen_in("volumes", job_id=job.job_id)
        running.cancel()
        ended = await running
    assert cancelled == ["a volume", "a volume", "files"]
    assert_put_back(house, before, ended, Code.WORKER_STOPPED)


# --- once it is committed, it is done


@pytest.mark.parametrize("how", CODES)
async def test_ended_while_the_cells_api_regenerates(house: House, how: str) -> None:
    saved, _ = await saved_and_changed(house)
    house.configure(cell_api_reload_path="/")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"reload" not in await reader.readline():
            await silent(reader, writer)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    house.configure(cell_api_url=f"http://127.0.0.1:{port}", cell_api_reload_path="/reload")
    job = await ended_by(house, how, "regenerate", regenerate="hook")
    server.close()
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.error is None
    assert "rolled_back" not in result_of(job)
    assert result_of(job)["next"]
    assert_restored(house, saved)


async def test_cancelled_while_it_looks_at_the_containers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, _ = await saved_and_changed(house)
    with held_in(house, "finish", monkeypatch):
        job = await ended_by(house, "cancel", "finish")
    assert job.state is JobState.SUCCEEDED, job.error
    assert tuple(step["stage"] for step in result_of(job)["steps"]) == STAGES
    assert_restored(house, saved)


async def test_cancelled_just_when_it_is_committed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, _ = await saved_and_changed(house)
    original = Swap.commit

    def commit(self: Swap) -> None:
        original(self)
        house.runs[-1]._task.get_loop().call_soon_threadsafe(house.runs[-1]._task.cancel)  # type: ignore[union-attr]

    monkeypatch.setattr(Swap, "commit", commit)
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert [warning for warning in job.warnings if "run 'cell-backup regenerate'" in warning], job.warnings
    assert_restored(house, saved)


async def test_regeneration_that_fails_is_a_warning(house: House) -> None:
    saved, _ = await saved_and_changed(house)
    house.configure(cell_api_url="http://127.0.0.1:1")
    job = await restored(house, regenerate="hook")
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.warnings
    assert_restored(house, saved)
