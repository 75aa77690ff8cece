"""Blocking steps in threads: cancelling waits for the step, and what was entered is always left."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from app.errors import Code, JobError
from workers.threads import Threads

LIMIT = 30


@dataclass
class Step:
    """A step that says when it has begun and goes on until it is let go or told to end."""

    threads: Threads = field(default_factory=Threads)
    begun: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    ended: bool = False

    def __call__(self) -> str:
        self.begun.set()
        try:
            assert self.let_go.wait(LIMIT)
            self.threads.keep_going()
        finally:
            self.ended = True
        return "done"

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, LIMIT)


async def test_a_step_runs_in_another_thread_and_gives_its_result() -> None:
    def step(number: int, *, more: int) -> tuple[int, bool]:
        return number + more, threading.current_thread() is threading.main_thread()

    assert await Threads().run(step, 1, more=2) == (3, False)


async def test_an_error_comes_back_as_it_is() -> None:
    raised = JobError(Code.DISK_FULL, "Full.")

    def step() -> None:
        raise raised

    with pytest.raises(JobError) as caught:
        await Threads().run(step)
    assert caught.value is raised


async def test_nothing_is_told_to_end_before_it_is_cancelled() -> None:
    threads = Threads()
    await threads.run(threads.keep_going)


async def test_cancelling_waits_until_the_step_has_ended() -> None:
    step = Step()
    running = asyncio.create_task(step.threads.run(step))
    await step.has_begun()
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    step.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert step.ended


async def test_cancelling_twice_waits_as_well() -> None:
    step = Step()
    running = asyncio.create_task(step.threads.run(step))
    await step.has_begun()
    for _ in range(3):
        running.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not running.done()
    step.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert step.ended


async def test_after_cancelling_every_step_is_told_to_end() -> None:
    step = Step()
    running = asyncio.create_task(step.threads.run(step))
    await step.has_begun()
    running.cancel()
    step.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(JobError) as caught:
        await step.threads.run(step.threads.keep_going)
    assert caught.value.code is Code.CANCELLED


async def test_cancelling_aborts_a_step_that_waits_for_something_outside() -> None:
    step = Step()
    running = asyncio.create_task(step.threads.run_with_abort(step.let_go.set, step))
    await step.has_begun()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert step.ended


async def test_abort_is_not_called_where_nobody_cancels() -> None:
    calls: list[str] = []
    await Threads().run_with_abort(lambda: calls.append("abort"), calls.append, "step")
    assert calls == ["step"]


@dataclass
class Room:
    """A context manager that notes who enters and leaves it, and how."""

    entering: Callable[[], object] = lambda: None
    leaving: Callable[[], object] = lambda: None
    notes: list[str] = field(default_factory=list)
    in_main_thread: set[bool] = field(default_factory=set)

    @contextmanager
    def open(self) -> Iterator[str]:
        self._note("enter")
        self.entering()
        try:
            yield "inside"
        except BaseException as error:
            self._note(type(error).__name__)
            raise
        else:
            self._note("leave")
            self.leaving()

    def _note(self, what: str) -> None:
        self.notes.append(what)
        self.in_main_thread.add(threading.current_thread() is threading.main_thread())


async def test_managed_enters_and_leaves_in_threads() -> None:
    room = Room()
    async with Threads().managed(room.open()) as value:
        assert value == "inside"
        assert room.notes == ["enter"]
    assert room.notes == ["enter", "leave"]
    assert room.in_main_thread == {False}


async def test_managed_leaves_with_the_error_of_the_block() -> None:
    room = Room()
    with pytest.raises(ZeroDivisionError):
        async with Threads().managed(room.open()):
            raise ZeroDivisionError
    assert room.notes == ["enter", "ZeroDivisionError"]
    assert room.in_main_thread == {False}


async def test_managed_leaves_nothing_that_it_could_not_enter() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    room = Room(entering=fail)
    with pytest.raises(ZeroDivisionError):
        async with Threads().managed(room.open()):
            raise AssertionError("never inside")
    assert room.notes == ["enter"]


async def test_managed_raises_what_leaving_well_raises() -> None:
    def fail() -> None:
        raise JobError(Code.DISK_FULL, "Full.")

    with pytest.raises(JobError):
        async with Threads().managed(Room(leaving=fail).open()):
            pass


async def test_managed_is_left_when_it_is_cancelled_inside() -> None:
    room, inside = Room(), asyncio.Event()

    async def work() -> None:
        async with Threads().managed(room.open()):
            inside.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await inside.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert room.notes == ["enter", "CancelledError"]


class Gate:
    """A context manager without a generator, which would leave itself when it is forgotten."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.left = 0

    def __enter__(self) -> None:
        self.step.begun.set()
        assert self.step.let_go.wait(LIMIT)

    def __exit__(self, *_: object) -> None:
        self.left += 1


async def test_managed_is_left_when_it_is_cancelled_while_it_enters() -> None:
    step = Step()
    gate = Gate(step)

    async def work() -> None:
        async with step.threads.managed(gate):
            raise AssertionError("never inside")

    working = asyncio.create_task(work())
    await step.has_begun()
    working.cancel()
    step.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert gate.left == 1


async def test_managed_has_left_before_a_second_cancelling_goes_on() -> None:
    step = Step()
    inside = asyncio.Event()
    notes: list[str] = []

    @contextmanager
    def slow_to_leave() -> Iterator[None]:
        try:
            yield
        finally:
            with suppress(JobError):
                step()
            notes.append("left")

    async def work() -> None:
        async with step.threads.managed(slow_to_leave()):
            inside.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await inside.wait()
    working.cancel()
    await step.has_begun()
    working.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not working.done()
    step.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert notes == ["left"]
