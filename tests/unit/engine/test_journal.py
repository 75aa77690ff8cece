import asyncio
import json
import stat
from pathlib import Path

import pytest
from typing_extensions import override

from app.engine import journal as journal_module
from app.engine.base import ContainerState
from app.engine.journal import quiesced, recover
from app.engine.memory import MemoryContainer, MemoryEngine
from app.errors import Code, PartError

AWAY = PartError(Code.ENGINE_UNREACHABLE, "The engine is away")
RUNNING, PAUSED, STOPPED = ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.STOPPED


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_RETRY_SECONDS", (0, 0))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "state/quiesced"


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine({"cell-a": MemoryContainer()})


def state(engine: MemoryEngine) -> ContainerState:
    return engine.machines["cell-a"].state


def journalled(journal: Path) -> list[str]:
    return sorted(path.name for path in journal.glob("*"))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def content(journal: Path) -> object:
    return json.loads((journal / "cell-a.json").read_text())


@pytest.mark.parametrize(("mode", "held"), [("pause", PAUSED), ("stop", STOPPED)])
async def test_a_container_is_held_still_and_journalled_while_the_block_runs(
    engine: MemoryEngine, journal: Path, mode: str, held: ContainerState
) -> None:
    async with quiesced(engine, journal, "cell-a", mode):
        assert state(engine) is held
        assert journalled(journal) == ["cell-a.json"]
        assert content(journal) == {"container": "cell-a", "mode": mode}
        assert (mode_of(journal / "cell-a.json"), mode_of(journal)) == (0o600, 0o700)
    assert state(engine) is RUNNING
    assert journalled(journal) == []


async def test_the_journal_is_written_before_the_engine_is_asked(engine: MemoryEngine, journal: Path) -> None:
    class Watching(MemoryEngine):
        @override
        async def pause(self, container: str) -> None:
            assert journalled(journal) == ["cell-a.json"]
            await super().pause(container)

        @override
        async def unpause(self, container: str) -> None:
            assert journalled(journal) == ["cell-a.json"]
            await super().unpause(container)

    watching = Watching(engine.machines)
    async with quiesced(watching, journal, "cell-a", "pause"):
        pass
    assert [method for method, _ in watching.calls] == ["inspect", "pause", "unpause"]


@pytest.mark.parametrize("before", [PAUSED, STOPPED])
async def test_what_did_not_run_before_is_not_touched(
    engine: MemoryEngine, journal: Path, before: ContainerState
) -> None:
    engine.machines["cell-a"].state = before
    async with quiesced(engine, journal, "cell-a", "stop"):
        assert state(engine) is before
    assert state(engine) is before
    assert [method for method, _ in engine.calls] == ["inspect"]


async def test_without_a_mode_nothing_is_done(engine: MemoryEngine, journal: Path) -> None:
    async with quiesced(engine, journal, "cell-a", "none"):
        assert engine.calls == []


@pytest.mark.parametrize("mode", ["pause", "stop"])
async def test_it_runs_again_after_a_failure(engine: MemoryEngine, journal: Path, mode: str) -> None:
    with pytest.raises(ValueError, match="broken"):
        async with quiesced(engine, journal, "cell-a", mode):
            raise ValueError("broken")
    assert state(engine) is RUNNING
    assert journalled(journal) == []


@pytest.mark.parametrize("mode", ["pause", "stop"])
async def test_it_runs_again_after_a_cancellation_even_if_that_comes_twice(
    engine: MemoryEngine, journal: Path, mode: str
) -> None:
    class Slow(MemoryEngine):
        def __init__(self, machines: dict[str, MemoryContainer]) -> None:
            super().__init__(machines)
            self.undoing = asyncio.Event()
            self.go = asyncio.Event()

        async def _wait(self) -> None:
            self.undoing.set()
            await self.go.wait()

        @override
        async def start(self, container: str) -> None:
            await self._wait()
            await super().start(container)

        @override
        async def unpause(self, container: str) -> None:
            await self._wait()
            await super().unpause(container)

    slow, inside = Slow(engine.machines), asyncio.Event()

    async def work() -> None:
        async with quiesced(slow, journal, "cell-a", mode):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    await slow.undoing.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=0.05)
    assert not task.done()
    slow.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state(engine) is RUNNING
    assert journalled(journal) == []


async def test_a_container_that_cannot_be_held_still_fails_the_part_and_runs_on(
    engine: MemoryEngine, journal: Path
) -> None:
    engine.faults["stop"] = PartError(Code.ENGINE_ERROR, "no permission")
    with pytest.raises(PartError) as raised:
        async with quiesced(engine, journal, "cell-a", "stop"):
            pytest.fail("the block must not run")
    assert raised.value.code is Code.QUIESCE_FAILED
    assert "no permission" in raised.value.message
    assert ("start", "cell-a") in engine.calls
    assert journalled(journal) == []


@pytest.mark.parametrize(("mode", "undo"), [("pause", "unpause"), ("stop", "start")])
async def test_a_container_that_cannot_run_again_fails_the_part_and_stays_in_the_journal_for_the_next_worker(
    engine: MemoryEngine, journal: Path, mode: str, undo: str
) -> None:
    engine.faults[undo] = AWAY
    with pytest.raises(PartError) as raised:
        async with quiesced(engine, journal, "cell-a", mode):
            pass
    assert raised.value.code is Code.QUIESCE_FAILED
    assert "cell-a" in raised.value.message
    assert engine.calls.count((undo, "cell-a")) == 3
    assert journalled(journal) == ["cell-a.json"]

    assert len(await recover(journal, engine)) == 1
    assert state(engine) is not RUNNING
    assert journalled(journal) == ["cell-a.json"]

    engine.faults.clear()
    assert await recover(journal, engine) == [
        f"cell-a was left {'paused' if mode == 'pause' else 'stopped'}, and runs again"
    ]
    assert state(engine) is RUNNING
    assert await recover(journal, engine) == []


async def test_an_engine_that_comes_back_within_the_retries_is_enough(engine: MemoryEngine, journal: Path) -> None:
    class Shaky(MemoryEngine):
        @override
        async def start(self, container: str) -> None:
            if len(self.calls) < 4:
                self.calls.append(("shaken", container))
                raise AWAY
            await super().start(container)

    shaky = Shaky(engine.machines)
    async with quiesced(shaky, journal, "cell-a", "stop"):
        pass
    assert ("shaken", "cell-a") in shaky.calls
    assert state(engine) is RUNNING


async def test_a_container_that_was_removed_meanwhile_needs_nothing(engine: MemoryEngine, journal: Path) -> None:
    async with quiesced(engine, journal, "cell-a", "stop"):
        del engine.machines["cell-a"]
    assert journalled(journal) == []


async def test_a_cancelled_block_stays_cancelled_where_the_undo_fails(
    engine: MemoryEngine, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine.faults["start"] = AWAY
    with pytest.raises(asyncio.CancelledError):
        async with quiesced(engine, journal, "cell-a", "stop"):
            raise asyncio.CancelledError
    assert "cell-a" in caplog.text
    assert journalled(journal) == ["cell-a.json"]


async def test_a_journal_that_cannot_be_written_leaves_the_container_alone(
    engine: MemoryEngine, tmp_path: Path
) -> None:
    not_a_directory = tmp_path / "file"
    write(not_a_directory)
    with pytest.raises(PartError) as raised:
        async with quiesced(engine, not_a_directory, "cell-a", "stop"):
            pytest.fail("the block must not run")
    assert raised.value.code is Code.QUIESCE_FAILED
    assert state(engine) is RUNNING


async def test_a_journal_that_cannot_be_understood_is_named_and_kept(engine: MemoryEngine, journal: Path) -> None:
    spoil(journal)
    lines = await recover(journal, engine)
    assert ["cell-b.json" in lines[0], "cell-c.json" in lines[1]] == [True, True]
    assert journalled(journal) == ["cell-b.json", "cell-c.json"]


def write(path: Path) -> None:
    path.touch()


def spoil(journal: Path) -> None:
    journal.mkdir(parents=True)
    (journal / "cell-b.json").write_text('{"mode": "dance"}')
    (journal / "cell-c.json").write_text("no json")


async def test_a_journal_that_was_never_made_needs_nothing(engine: MemoryEngine, journal: Path) -> None:
    assert await recover(journal, engine) == []
