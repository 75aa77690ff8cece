"""Reading ahead: what comes next is made ready in a thread of its own, while the caller works on what came before."""

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(items: Iterator[Item], *, depth: int = 2) -> Generator[Item, None, None]:
    """Give the items as they are, while a thread gets at most `depth` that follow; raises what getting them raises.

    Closing the generator waits for the thread, so that nobody reads `items` any more afterwards.
    """
    ready: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()
    slots = threading.Semaphore(depth)
    is_over = threading.Event()

    def run() -> None:
        try:
            while slots.acquire() and not is_over.is_set():
                for item in items:
                    ready.put((item,))
                    break
                else:
                    ready.put(None)
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            ready.put(error)

    thread = threading.Thread(target=run, name="read ahead", daemon=True)
    thread.start()
    try:
        while (got := ready.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            yield got[0]
            slots.release()
    finally:
        is_over.set()
        slots.release()
        thread.join()
