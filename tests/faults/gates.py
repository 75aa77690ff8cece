"""Ways to hold a job at one place until it is told to end."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from typing_extensions import override

from app.catalog.base import Entry
from app.catalog.local import LocalStore, PartialArchive
from app.engine.base import Container
from app.engine.memory import MemoryEngine
from tests.faults.house import House

LIMIT = 30


class AwayForEver(MemoryEngine):
    """Be asked for its containers, and never answer."""

    @override
    async def containers(self) -> list[Container]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


class GatedStore(LocalStore):
    """Hold the writer before its first byte, before it publishes, or when it has published, until the job is to end."""

    def __init__(self, house: House, place: str) -> None:
        super().__init__(house.archives)
        self._house = house
        self._place = place

    @override
    @contextmanager
    def create(self, backup_id: str, *, encrypted: bool) -> Iterator["GatedArchive"]:  # type: ignore[override] # stands for one
        with super().create(backup_id, encrypted=encrypted) as archive:
            yield GatedArchive(archive, self._hold)

    def _hold(self, place: str) -> None:
        if place == self._place:
            assert self._house.runs[0].threads._stop.wait(LIMIT), "the job was not told to end"


class GatedArchive:
    def __init__(self, archive: PartialArchive, hold: Callable[[str], None]) -> None:
        self._archive = archive
        self._hold = hold

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._hold("write")
        self._archive.write(data)

    def publish(self, entry: Entry, keep_going: Callable[[], None] = lambda: None) -> Entry:
        self._hold("publish")
        stored = self._archive.publish(entry, keep_going)
        self._hold("published")
        return stored
