"""Choosing the way to write a volume, and getting everything ready for it."""

import contextlib
import json
import posixpath
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from app.engine.archive_room import empty_by_replacing, look_at
from app.engine.archive_sink import ArchiveSink
from app.engine.base import VolumeSink
from app.engine.client import Client
from app.engine.exec_stream import Command, ExecProcess, executing
from app.engine.flushing import Flush, cannot_flush, flushing
from app.engine.hands import Hands, empty_directory, find_fixed, look_for_hands
from app.engine.helper import helping
from app.engine.tar_command import ENVIRONMENT, USER, TarKind
from app.engine.tar_sink import TarSink
from app.engine.target import Target
from app.engine.write_words import WriteWords
from app.errors import Code, PartError

# What these say of a volume is that nothing in it has changed.
_UNTOUCHED = {Code.CONTAINER_MISSING, Code.VOLUME_MISSING, Code.ENGINE_UNREACHABLE}


@dataclass(frozen=True, slots=True)
class Place:
    """Name the directory to write to, as a running container sees it; `hands` is None where none can see it.

    `mounts` are the mount points below it, `fixed` those of them in which nothing can be replaced.
    """

    hands: Hands | None
    path: str
    mounts: Sequence[str] = ()
    fixed: Sequence[str] = ()

    @property
    def spared(self) -> tuple[str, ...]:
        """Name what is fixed as a member of the volume is named."""
        return tuple(posixpath.relpath(point, self.path) for point in self.fixed)

    @property
    def written(self) -> list[str]:
        """Give every directory that may be on a disk of its own, and is written to."""
        return [self.path, *(point for point in self.mounts if point not in self.fixed)]


@contextlib.asynccontextmanager
async def writing(
    client: Client, target: Target, path: str, *, empty: bool, plain: bool, stall_seconds: float, owner: str
) -> AsyncIterator[VolumeSink]:
    """Open a volume for writing; leaving the block ends and removes whatever was started for it.

    A running tar knows the end of its input by a half-closed connection, which TLS does not have; and only GNU tar puts
    a directory in the place of a link, where others would write through it. Else the endpoint for archives writes, and
    only the emptying is done in a container.
    """
    async with contextlib.AsyncExitStack() as undo:
        place = await undo.enter_async_context(_placed(client, target, path, owner))
        hands = place.hands
        if hands is not None:
            fixed = await find_fixed(client, hands, target, place.path)
            place = Place(hands, place.path, target.mounts_below(place.path), fixed)
        if hands is None or client.endpoint.tls is not None or not (empty or hands.tar.kind is TarKind.GNU):
            way = _by_archive(client, target, path, place, empty=empty, stall_seconds=stall_seconds)
        else:
            way = _by_tar(client, hands, place, empty=empty, plain=plain, stall_seconds=stall_seconds)
        yield await undo.enter_async_context(way)


@contextlib.contextmanager
def _after_emptying(container: str, *, emptied: bool) -> Iterator[None]:
    """Let no error say that the volume is untouched, once it has been emptied."""
    try:
        yield
    except PartError as error:
        if not emptied or error.code not in _UNTOUCHED:
            raise
        message = f"Writing to {container} could not begin once its volume had been emptied: {error.message}"
        raise PartError(Code.STREAM_CUT, message) from error


@contextlib.asynccontextmanager
async def _placed(client: Client, target: Target, path: str, owner: str) -> AsyncIterator[Place]:
    hands = await look_for_hands(client, target.name, path, target=target.name) if target.runs else None
    if hands is not None:
        if hands.place is None:
            raise PartError(Code.VOLUME_MISSING, f"There is no directory {path} in {target.name}")
        yield Place(hands, hands.place)
    elif not target.shares(path):
        yield Place(None, path)
    else:
        async with helping(client, target, path, await _images(client, target), owner) as helper:
            place = None if helper is None else helper.place
            # beyond the mounts a helper sees no more than directories of its own
            yield Place(helper, place) if place is not None and target.shares(place) else Place(None, path)


async def _images(client: Client, target: Target) -> list[str]:
    """Give the images that a helper may be made of: the container's own, then those of the cell's other containers."""
    filters = json.dumps({"name": ["^/?cell-"]})
    found = await client.request("containers/json", params={"all": "true", "filters": filters})
    return list(dict.fromkeys([target.image, *(str(one["ImageID"]) for one in found)]))


@contextlib.asynccontextmanager
async def _by_tar(
    client: Client, hands: Hands, place: Place, *, empty: bool, plain: bool, stall_seconds: float
) -> AsyncIterator[VolumeSink]:
    words, path = WriteWords(hands.target), place.path
    # what is not removed may have ACLs, which only the long command takes away: the directory, and mounts below it
    plain = plain and not place.mounts and empty and hands.tar.kind is TarKind.GNU and not hands.has_acl
    if empty:
        plain = await empty_directory(client, hands, path, place.fixed) and plain
    extraction = hands.tar.extraction(path, plain=plain)
    command = Command(extraction, has_shell=True, user=USER, environment=ENVIRONMENT, fed=True)
    process = ExecProcess(
        client, hands.container, command, on_stderr=words.feed, stall_seconds=stall_seconds, called=hands.target
    )
    async with contextlib.AsyncExitStack() as undo:
        with _after_emptying(hands.target, emptied=empty):
            await undo.enter_async_context(executing(process))
        flush = await undo.enter_async_context(flushing(client, hands, place.written))
        yield TarSink(process, words, hands, flush, plain=plain, spared=place.spared)


@contextlib.asynccontextmanager
async def _by_archive(
    client: Client, target: Target, path: str, place: Place, *, empty: bool, stall_seconds: float
) -> AsyncIterator[VolumeSink]:
    if target.is_fleeting(place.path):
        message = f"{path} in {target.name} is in memory only, where the engine's archive endpoint does not reach"
        raise PartError(Code.VOLUME_MISSING, message)
    room = await look_at(client, target, path)
    if empty and place.hands is not None:
        await empty_directory(client, place.hands, place.path, place.fixed)
    elif empty:
        await empty_by_replacing(client, target, path, room)
    async with contextlib.AsyncExitStack() as undo:
        flush: Flush = cannot_flush
        if place.hands is not None:
            flush = await undo.enter_async_context(flushing(client, place.hands, place.written))
        sink = ArchiveSink(client, target, path, room, stall_seconds=stall_seconds, flush=flush, spared=place.spared)
        undo.callback(sink.close)
        with _after_emptying(target.name, emptied=empty):
            await sink.open(overlay=not empty)
        yield sink


def checked_path(container: str, path: str) -> str:
    """Give the path in its plain form; raise PartError VOLUME_MISSING where it is none."""
    if not path.startswith("/") or "\0" in path:
        raise PartError(Code.VOLUME_MISSING, f"{path!r} is not an absolute path in {container}")
    return posixpath.normpath(f"/{path.lstrip('/')}")
