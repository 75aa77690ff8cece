"""Taking in an archive that was made elsewhere: streamed to the disk, however large, and seen only when it is whole."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.api.auth import guarded_router
from app.api.catalog import ANY_ID, PREFIX, BackupId, BackupModel, find
from app.api.digests import ContentDigest, check_digest, sha256_of
from app.api.problems import problems
from app.api.resources import Given
from app.archive.beginning import is_encrypted_archive
from app.catalog.base import Incoming
from app.engine.shield import see_through
from app.errors import Code, InputError, JobError

router = guarded_router(prefix=PREFIX, tag="backups")

_PIECE = 1 << 20  # a thread a MiB, not one for each packet; and the first line of an archive is shorter
_BODY: dict[str, Any] = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


@router.put(
    ANY_ID,
    status_code=201,
    operation_id="upload_backup",
    summary="Upload a backup",
    description=(
        "The body is the file of an archive, as a download gives it; it may be as large as there is room. It is seen "
        "when all of it has arrived and is on the disk, and never takes the place of another one. Whether it is "
        "encrypted is told by its first bytes. Nothing else of it has been looked at: verify it."
    ),
    openapi_extra={"requestBody": _BODY},
    responses=problems(
        Code.BACKUP_EXISTS,
        Code.INVALID_BACKUP_ID,
        Code.INVALID_REQUEST,
        Code.ARCHIVE_FOREIGN,
        Code.ARCHIVE_TOO_NEW,
        Code.ARCHIVE_DAMAGED,
        Code.ARCHIVE_HOSTILE,
        Code.CANCELLED,
        Code.DISK_FULL,
        Code.WRITE_FAILED,
        Code.FILE_UNREADABLE,
        Code.INTERNAL,
    ),
)
async def upload_backup(
    request: Request, given: Given, backup_id: BackupId, content_digest: ContentDigest = None
) -> BackupModel:
    """Take in an archive."""
    wanted = sha256_of(content_digest)
    if "content-range" in request.headers:
        raise InputError(Code.INVALID_REQUEST, "header.Content-Range: a file is taken as a whole, from its beginning.")
    await asyncio.to_thread(_check_room, given.settings.archives_dir, request.headers.get("content-length", ""))
    async with _held(given.store.receive(backup_id)) as incoming:
        upload = _Upload(incoming)
        try:
            async for piece in _pieces(request):
                await see_through(asyncio.to_thread(upload.take, piece))
        except ClientDisconnect as error:
            raise JobError(Code.CANCELLED, "The client went away before all of the file had arrived.") from error
        await see_through(asyncio.to_thread(upload.finish, wanted))
    return BackupModel.of(await find(given, backup_id))


class _Upload:
    """Write what arrives and learn what it is; everything here blocks."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._digest = hashlib.sha256()
        self._encrypted: bool | None = None

    def take(self, piece: bytes) -> None:
        """Write a piece; the first one says what kind of archive this is, or ArchiveError."""
        if self._encrypted is None:
            self._encrypted = is_encrypted_archive(piece)
        self._incoming.write(piece)
        self._digest.update(piece)

    def finish(self, wanted: bytes | None) -> None:
        """Let the archive be seen, if it is what was sent."""
        check_digest(self._digest.digest(), wanted)
        encrypted = is_encrypted_archive(b"") if self._encrypted is None else self._encrypted
        self._incoming.take_in(encrypted=encrypted)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Give the body in pieces of a MiB or more, the last one shorter; raises ClientDisconnect."""
    gathered = bytearray()
    async for chunk in request.stream():
        gathered += chunk
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


@asynccontextmanager
async def _held(receiving: AbstractContextManager[Incoming]) -> AsyncIterator[Incoming]:
    """Enter and leave in threads; whoever ends the request waits until nothing of it is left."""
    entered = False

    def enter() -> Incoming:
        nonlocal entered
        incoming = receiving.__enter__()
        entered = True
        return incoming

    try:
        yield await see_through(asyncio.to_thread(enter))
    finally:
        if entered:
            await see_through(asyncio.to_thread(receiving.__exit__, None, None, None))


def _check_room(directory: Path, length: str) -> None:
    """Refuse at once what there is no room for, where the client says how long it is; JobError DISK_FULL."""
    if not length.isdecimal():
        return
    there = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if int(length) > free:
        message = f"The file has {length} bytes, and the backup directory has room for {free}."
        raise JobError(Code.DISK_FULL, message, hint="Free space in the backup directory and send it again.")
