"""Blocking work in threads, so that cancelling the task ends the thread before it goes on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ParamSpec, TypeVar

from app.engine.shield import see_through
from app.errors import Code, JobError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Threads:
    """Run the blocking steps of one job; a step asks `keep_going` often enough to end within moments."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def keep_going(self) -> None:
        """Raise JobError CANCELLED once the job is to end."""
        if self._stop.is_set():
            raise JobError(Code.CANCELLED, "The job was told to end.")

    async def run(
        self, step: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Run one step and give its result; when cancelled, wait until the step has ended."""
        return await self.run_with_abort(lambda: None, step, *args, **kwargs)

    async def run_with_abort(
        self,
        abort: Callable[[], None],
        step: Callable[Arguments, Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Do as `run` does; `abort` wakes the step where it waits for something outside."""
        running = asyncio.ensure_future(asyncio.to_thread(step, *args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._stop.set()
            abort()
            try:
                await see_through(asyncio.wait({running}))
            finally:
                running.exception()  # the step's own end is known: it was told to
            raise

    @asynccontextmanager
    async def managed(self, manager: AbstractContextManager[Result]) -> AsyncIterator[Result]:
        """Enter and leave a blocking context manager in threads; one that was entered is always left."""
        entered = False

        def enter() -> Result:
            nonlocal entered
            value = manager.__enter__()
            entered = True
            return value

        try:
            yield await self.run(enter)
        except BaseException as error:
            if entered:
                await see_through(asyncio.to_thread(manager.__exit__, type(error), error, error.__traceback__))
            raise
        await self.run(manager.__exit__, None, None, None)
