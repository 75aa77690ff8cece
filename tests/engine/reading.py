"""Reading a volume to its end, the way a worker does."""

import asyncio
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from app.engine.base import Engine, ReadEnd, VolumeStream, Way


@dataclass(frozen=True, slots=True)
class Reading:
    way: Way
    data: bytes
    end: ReadEnd

    @property
    def members(self) -> dict[str, tarfile.TarInfo]:
        with tarfile.open(fileobj=io.BytesIO(self.data), mode="r:") as tar:
            return {member.name: member for member in tar.getmembers()}

    def content(self, name: str) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(self.data), mode="r:") as tar:
            file = tar.extractfile(name)
            assert file is not None
            return file.read()


def drain(stream: VolumeStream, size: int = 1 << 20) -> bytes:
    buffer = memoryview(bytearray(size))
    taken = bytearray()
    while got := stream.read_into(buffer):
        taken += buffer[:got]
    return bytes(taken)


async def read_all(engine: Engine, container: str, path: str = "/vol", *, exclude: Sequence[str] = ()) -> Reading:
    async with engine.read_volume(container, path, exclude=exclude) as stream:
        data = await asyncio.to_thread(drain, stream)
        return Reading(stream.way, data, await stream.end())
