"""Work in a thread of its own behind a bounded queue: how gzip and encryption keep two cores busy."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
_DEPTH = 4


class Stage(Generic[Item]):
    """Run `work` on each item, in order, in a thread; the first error comes back out of `put` or `close`.

    As a context manager it waits for all items when the block ends well, and drops them when it does not.
    """

    def __init__(self, name: str, work: Callable[[Item], None]) -> None:
        self._work = work
        self._queue: queue.Queue[Item | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._dropping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over an item; waits while the queue is full, raises what the work raised."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def close(self) -> None:
        """Wait until every item is done; raise what the work raised."""
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        self._dropping = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None and not self._dropping:
                try:
                    self._work(item)
                except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                    self._error = error
