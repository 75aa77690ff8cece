"""A fake engine in a thread of its own, for processes to talk to, whose streams stall in the middle."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from tests.support.fake_engine import FakeEngine, Fault
from tests.support.tars import tar_of

MAIL = ("cell-mail", "/var/mail")
CALENDAR = ("cell-radicale", "/data")
_STALL_AT = 2_600_000  # the relay takes a mebibyte at once


class StallingEngine:
    """Have the sample cell's two containers; with `stalls`, every stream stops in the middle of a file."""

    def __init__(self, fake: FakeEngine, loop: asyncio.AbstractEventLoop) -> None:
        self._fake = fake
        self._loop = loop

    @property
    def docker_host(self) -> str:
        return self._fake.docker_host

    def stall(self) -> None:
        """Let every stream that starts from now on stall."""
        self._fake.fault = Fault(stall_at=_STALL_AT)

    def flow(self) -> None:
        """Let every stream that starts from now on come to its end."""
        self._fake.fault = Fault()

    def state(self, container: str) -> str:
        return self._fake.containers[container].state

    def die(self) -> None:
        """Cut all streams and answer no more."""
        asyncio.run_coroutine_threadsafe(self._fake.stop(), self._loop).result()


@contextmanager
def stalling_engine(home: Path) -> Iterator[StallingEngine]:
    """Run the engine in a thread while the block runs; nothing stalls before that is asked for."""
    ready: Future[StallingEngine] = Future()
    ended: Future[None] = Future()

    async def serve() -> None:
        async with FakeEngine(home / "engine.sock") as fake:
            for name, path in (MAIL, CALENDAR):
                fake.add_container(name, {path: _volume(home / name)})
            ready.set_result(StallingEngine(fake, asyncio.get_running_loop()))
            await asyncio.wrap_future(ended)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield ready.result(timeout=10)
    finally:
        ended.set_result(None)
        thread.join()


def _volume(folder: Path) -> bytes:
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}").write_bytes(os.urandom(400_000))
    return tar_of(folder)
