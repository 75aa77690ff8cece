"""The writing half of the fake engine: a tar that extracts, and the archive endpoint that unpacks, both with faults."""

import asyncio
import io
import struct
import tarfile
from dataclasses import dataclass


@dataclass(slots=True)
class Taking:
    """Say how a written stream is taken: all of it, or only so many bytes, and what happens then.

    takes    after this many bytes of the stream nothing more is taken
    then     `end`: tar ends (the archive endpoint answers), `stall`: nothing more happens until the client goes away,
             `cut`: the connection is gone, and nobody knows how tar ends
    stderr   what tar says before it takes anything
    last     what tar says when it ends
    exit_code, status, message   how tar ends, and what the archive endpoint answers
    """

    takes: int | None = None
    then: str = "end"
    stderr: bytes = b""
    last: bytes = b""
    exit_code: int = 0
    status: int = 200
    message: str = ""


def frame(stream: int, data: bytes) -> bytes:
    """Give the data as one frame of the engine's multiplexed stream."""
    return struct.pack(">BxxxL", stream, len(data)) + data


async def take(reader: asyncio.StreamReader, taking: Taking) -> bytes:
    """Take the stream as far as it is taken, in small pieces."""
    taken = bytearray()
    while taking.takes is None or len(taken) < taking.takes:
        room = 1 << 16 if taking.takes is None else taking.takes - len(taken)
        data = await reader.read(room)
        if not data:
            break
        taken += data
    return bytes(taken)


async def take_chunks(reader: asyncio.StreamReader, taking: Taking) -> bytes:
    """Take the chunks of a request's body as far as they are taken."""
    taken = bytearray()
    while taking.takes is None or len(taken) < taking.takes:
        size = int(await reader.readline(), 16)
        taken += await reader.readexactly(size)
        await reader.readexactly(2)
        if not size:
            break
    return bytes(taken)


def directory_tar(path: str, content: bytes) -> bytes:
    """Give what the archive endpoint tells of a directory: itself, and one file where it is not empty."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo(f"{path.rsplit('/', 1)[-1]}/")
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
        if content:
            tar.addfile(tarfile.TarInfo(f"{member.name}file"))
    return packed.getvalue()
