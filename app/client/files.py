"""Archives on their way: a download that goes on where it broke off, an upload that the service can check."""

import base64
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any, BinaryIO

from app.client.problems import reaching
from app.client.service import Service
from app.errors import ArchiveError, Code, UnavailableError

_PIECE = 1 << 20
_ATTEMPTS = 5
Moved = Callable[[int], None]


async def download(service: Service, backup_id: str, write: Callable[[bytes], None], moved: Moved) -> int:
    """Write an archive piece by piece and give its size; what breaks off is asked for again from there.

    Raises UnavailableError where that does not help, ArchiveError where not what the service has arrived.
    """
    path = f"/api/config/backups/{backup_id}/download"
    digest, done, tag, failures = hashlib.sha256(), 0, "", 0
    while True:
        headers = {"Range": f"bytes={done}-", "If-Range": tag} if done else {}
        begun = done
        try:
            async with service.open("GET", path, headers=headers) as answer:
                if done and answer.status != 206:
                    raise _changed("the archive was replaced while it was downloaded")
                tag = answer.headers.get("ETag", "")
                with reaching(service.url):
                    async for piece in answer.content.iter_chunked(_PIECE):
                        write(piece)
                        digest.update(piece)
                        done += len(piece)
                        moved(len(piece))
            break
        except UnavailableError:
            failures = failures + 1 if done == begun else 1
            if failures == _ATTEMPTS or not done or not tag:
                raise
    _check(tag.strip('"'), digest.hexdigest())
    return done


def _check(told: str, found: str) -> None:
    # an archive without a sidecar has another kind of tag
    if len(told) == len(found) and told != found:
        raise _changed("its SHA-256 is not the one that was written")


def _changed(why: str) -> ArchiveError:
    hint = "Download it again; if that does not help, verify it there."
    return ArchiveError(Code.ARCHIVE_DAMAGED, f"What arrived is not what is in the catalog: {why}.", hint=hint)


async def upload(service: Service, backup_id: str, file: BinaryIO, sha256: bytes, moved: Moved) -> dict[str, Any]:
    """Send an archive, with its SHA-256 that the service checks; give what the service knows of it."""

    async def pieces() -> AsyncIterator[bytes]:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece
            moved(len(piece))

    headers = {
        "Content-Digest": f"sha-256=:{base64.b64encode(sha256).decode()}:",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(os.fstat(file.fileno()).st_size),
    }
    async with service.open("PUT", f"/api/config/backups/{backup_id}", data=pieces(), headers=headers) as answer:
        with reaching(service.url):
            told: dict[str, Any] = await answer.json()
    return told
