"""Looking at a directory, emptying it and setting its owner by the engine's archive endpoint alone.

The endpoint cannot remove. But where a file is to be put in the place of a directory, the engine removes the directory
with all that is in it; so a directory of the container's own layer is replaced by a file, and that by a new directory.
A mount point cannot be replaced.
"""

import contextlib
import io
import posixpath
import re
import tarfile
from copy import copy
from dataclasses import dataclass

from app.engine.client import Client
from app.engine.target import Target
from app.errors import Code, PartError

_HEAD_SIZE = 1 << 16
_SECONDS = 600.0
_KEPT = re.compile(r"SCHILY\.xattr\.|mtime$")  # the time as it was written: a float would lose its end


@dataclass(frozen=True, slots=True)
class Room:
    """Describe a directory as the archive endpoint shows it; `itself` is None where the path is a link to it."""

    itself: tarfile.TarInfo | None
    is_empty: bool


async def look_at(client: Client, target: Target, path: str) -> Room:
    """Look at the directory; raise PartError VOLUME_MISSING where there is none."""
    itself, is_empty = await _first(client, target, path)
    if itself.isdir():
        return Room(itself, is_empty)
    behind, is_empty = await _first(client, target, f"{path}/.")
    if not itself.issym() or not behind.isdir():
        raise _missing(target, path)
    return Room(None, is_empty)


async def empty_by_replacing(client: Client, target: Target, path: str, room: Room) -> None:
    """Remove everything in the directory; raise PartError VOLUME_NOT_EMPTIED where the endpoint has no way to."""
    if room.is_empty:
        return
    if room.itself is None or target.mount_of(path) is not None or target.mounts_below(path):
        why = f"{target.name} has no sh and tar of its own, and no image of this cell has them"
        raise PartError(Code.VOLUME_NOT_EMPTIED, f"{path} in {target.name} could not be emptied: {why}")
    try:
        await _put_beside(client, target, path, [tarfile.TarInfo(), room.itself])
    except PartError as error:
        message = f"{path} in {target.name} could not be emptied: {error.message}"
        raise PartError(Code.VOLUME_NOT_EMPTIED, message) from error


async def set_facts(client: Client, target: Target, path: str, facts: tarfile.TarInfo) -> None:
    """Give the directory itself an owner, a mode and a time, which unpacking leaves as they are; raises PartError."""
    await _put_beside(client, target, path, [facts])


def first_member(head: bytes) -> tuple[tarfile.TarInfo | None, bool]:
    """Give the first member of a tar, of which the head may be enough, and whether it is the only one."""
    first = None
    with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(head), mode="r:") as tar:
        first = tar.next()
        return first, tar.next() is None
    return first, False


async def _first(client: Client, target: Target, path: str) -> tuple[tarfile.TarInfo, bool]:
    try:
        head = await client.first_bytes(
            f"containers/{target.name}/archive", _HEAD_SIZE, container=target.name, params={"path": path}
        )
    except PartError as error:
        if error.code is Code.VOLUME_MISSING or "not a directory" in error.message:
            raise _missing(target, path) from error
        raise
    first, is_alone = first_member(head)
    if first is None:
        raise PartError(Code.STREAM_MALFORMED, f"The engine gave no tar of {path} in {target.name}")
    return first, is_alone


async def _put_beside(client: Client, target: Target, path: str, members: list[tarfile.TarInfo]) -> None:
    """Put members into the parent of the directory, under the directory's name."""
    parent, name = posixpath.split(path)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            named = copy(member)
            named.name, named.uname, named.gname = name, "", ""
            named.pax_headers = {key: value for key, value in member.pax_headers.items() if _KEPT.match(key)}
            tar.addfile(named)
    await client.send(
        f"containers/{target.name}/archive",
        "PUT",
        container=target.name,
        seconds=_SECONDS,
        params={"path": parent},
        tar=packed.getvalue(),
    )


def _missing(target: Target, path: str) -> PartError:
    return PartError(Code.VOLUME_MISSING, f"There is no directory {path} in {target.name}")
