"""The archives that exist: list, show, download, remove."""

import asyncio
import os
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from app.access.tokens import Scope as TokenScope
from app.api.auth import guarded_router
from app.api.parts import PartModel
from app.api.problems import answer, problems
from app.api.resources import Given, Resources
from app.catalog.base import Entry, Store
from app.cell.restoring.workspace import owed_safety
from app.errors import Code, InputError

PREFIX = "/api/config/backups"
router = guarded_router(prefix=PREFIX, tag="backups")
# an archive is the cell, with all its keys
downloads = guarded_router(prefix=PREFIX, tag="backups", scope=TokenScope.ADMIN)

_GZIP = "application/gzip"
_OPAQUE = "application/octet-stream"
_EXAMPLE_ID = "backup-20261123-020000-9f2c1a"
BACKUP_EXAMPLE: dict[str, Any] = {
    "backup_id": _EXAMPLE_ID,
    "file_name": f"{_EXAMPLE_ID}.tar.gz.age",
    "encrypted": True,
    "size": 363_912_345,
    "created_at": "2026-11-23T02:00:00Z",
    "described": True,
    "outcome": "succeeded",
    "label": "before the update",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "cell_name": "home",
    "domain": "cell.example",
    "seconds": 5.2,
    "parts": [
        {"kind": "component", "name": "vault", "outcome": "succeeded", "files": 12, "bytes": 40960, "seconds": 0.01}
    ],
    "warnings": [],
    "verified": {"at": "2026-11-23T02:05:00Z", "ok": True, "code": None, "message": None},
    "expires_at": None,
    "choice": [],
}


class VerificationModel(BaseModel):
    """Say when the archive was last read to its end, and what came of it."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    ok: bool
    code: str | None
    message: str | None


class BackupModel(BaseModel):
    """Describe one archive as far as that can be told without its passphrase."""

    model_config = ConfigDict(json_schema_extra={"example": BACKUP_EXAMPLE})

    backup_id: str
    file_name: str
    encrypted: bool
    size: Annotated[int, Field(description="Bytes of the file.")]
    created_at: datetime
    described: Annotated[bool, Field(description="False for an archive that came from elsewhere.")]
    outcome: Annotated[str | None, Field(description="`succeeded`, or `partial` where some part failed.")]
    label: str | None
    sha256: Annotated[str | None, Field(description="SHA-256 of the file.")]
    cell_name: str | None
    domain: str | None
    seconds: Annotated[float | None, Field(description="How long the backup took.")]
    parts: Annotated[list[PartModel], Field(description="Components and volumes.")]
    warnings: list[str]
    verified: VerificationModel | None
    expires_at: Annotated[datetime | None, Field(description="When it is removed by rule; null: never.")]
    choice: Annotated[list[str], Field(description="What of the cell was chosen for it; empty: everything.")]

    @classmethod
    def of(cls, entry: Entry) -> "BackupModel":
        """Show one entry of the catalog."""
        return cls(
            backup_id=entry.backup_id,
            file_name=entry.file_name,
            encrypted=entry.encrypted,
            size=entry.size,
            created_at=entry.created_at,
            described=entry.described,
            outcome=entry.outcome,
            label=entry.label,
            sha256=entry.sha256,
            cell_name=entry.cell_name,
            domain=entry.domain,
            seconds=entry.seconds,
            parts=[PartModel.of(part) for part in entry.parts],
            warnings=list(entry.warnings),
            verified=None if entry.verified is None else VerificationModel.model_validate(entry.verified),
            expires_at=entry.expires_at,
            choice=list(entry.choice),
        )


class BackupList(BaseModel):
    """Give a part of the catalog, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"backups": [BACKUP_EXAMPLE], "total": 1}})

    backups: list[BackupModel]
    total: Annotated[int, Field(description="How many there are in all.")]


# `:path`, so that an id with a slash in it is refused as an id and does not fall through to "nothing is here"
ANY_ID = "/{backup_id:path}"
BackupId = Annotated[
    str,
    Path(
        description="Id of an archive, as the list gives it.",
        examples=[_EXAMPLE_ID],
        json_schema_extra={"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"},
    ),
]


async def find(given: Resources, backup_id: str) -> Entry:
    """Give the entry of an archive; InputError INVALID_BACKUP_ID or BACKUP_NOT_FOUND."""
    return await asyncio.to_thread(given.store.get, backup_id)


@router.get(
    "",
    operation_id="list_backups",
    summary="List backups",
    description="All archives in the backup directory, newest first; also those that were copied there by hand.",
    responses=problems(Code.INVALID_REQUEST, Code.FILE_UNREADABLE, Code.INTERNAL),
)
async def list_backups(
    given: Given,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to give at most.")] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="How many to pass over.")] = 0,
) -> BackupList:
    """List archives, newest first."""
    entries = await asyncio.to_thread(given.store.entries)
    return BackupList(backups=[BackupModel.of(entry) for entry in entries[offset : offset + limit]], total=len(entries))


@downloads.head(ANY_ID + "/download", include_in_schema=False)
@downloads.get(
    ANY_ID + "/download",
    operation_id="download_backup",
    summary="Download a backup",
    description=(
        "The archive as it lies on disk, encrypted if it is encrypted. Ranges and conditional ranges are served, so an "
        "interrupted download can go on. HEAD tells the size without the file."
    ),
    response_class=Response,
    responses={
        200: {
            "description": "The whole file.",
            "content": {
                _GZIP: {"schema": {"type": "string", "format": "binary"}},
                _OPAQUE: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        206: {
            "description": "The part of the file that the Range header asked for.",
            "content": {
                _GZIP: {"schema": {"type": "string", "format": "binary"}},
                _OPAQUE: {"schema": {"type": "string", "format": "binary"}},
                "multipart/byteranges": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **problems(
            Code.BACKUP_NOT_FOUND,
            Code.INVALID_BACKUP_ID,
            Code.RANGE_NOT_SATISFIABLE,
            Code.FILE_UNREADABLE,
            Code.INTERNAL,
        ),
    },
)
async def download_backup(given: Given, backup_id: BackupId) -> Response:
    """Send the file of an archive."""
    entry = await find(given, backup_id)
    path = await asyncio.to_thread(given.store.path, backup_id)
    status = await asyncio.to_thread(_open_once, given.store, backup_id)
    return _ArchiveFile(
        path,
        stat_result=status,
        filename=entry.file_name,
        media_type=_OPAQUE if entry.encrypted else _GZIP,
        headers=None if entry.sha256 is None else {"etag": f'"{entry.sha256}"'},
    )


def _open_once(store: Store, backup_id: str) -> os.stat_result:
    # an error that shows only when the file is opened would come after the headers have been sent
    with store.open(backup_id) as file:
        return os.fstat(file.fileno())


class _ArchiveFile(FileResponse):
    """Send a file; a range that cannot be served is answered like every other error."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal refused
            refused = refused or (message["type"] == "http.response.start" and message["status"] in {400, 416})
            if not refused:
                await send(message)

        await super().__call__(scope, receive, send_unless_refused)
        if refused:
            length = self.headers["content-length"]
            detail = f"The file has {length} bytes, and the Range header asks for others."
            headers = {"Content-Range": f"bytes */{length}"}
            await answer(scope, Code.RANGE_NOT_SATISFIABLE, detail, headers=headers)(scope, receive, send)


@router.get(
    ANY_ID,
    operation_id="get_backup",
    summary="Show a backup",
    description="What is known of one archive without opening it.",
    responses=problems(Code.BACKUP_NOT_FOUND, Code.INVALID_BACKUP_ID, Code.FILE_UNREADABLE, Code.INTERNAL),
)
async def get_backup(given: Given, backup_id: BackupId) -> BackupModel:
    """Show one archive."""
    return BackupModel.of(await find(given, backup_id))


@router.delete(
    ANY_ID,
    status_code=204,
    operation_id="delete_backup",
    summary="Delete a backup",
    description=(
        "Removes the archive and what is noted about it. There is no way back, so the last archive that has been "
        "verified is not removed, and neither is one that a job works on: its `job_id` is in the answer."
    ),
    responses=problems(
        Code.BACKUP_NOT_FOUND,
        Code.BACKUP_IN_USE,
        Code.BACKUP_LAST_VERIFIED,
        Code.INVALID_BACKUP_ID,
        Code.REDIS_UNAVAILABLE,
        Code.DISK_FULL,
        Code.WRITE_FAILED,
        Code.FILE_UNREADABLE,
        Code.INTERNAL,
    ),
)
async def delete_backup(given: Given, backup_id: BackupId) -> None:
    """Remove one archive."""
    for job in await given.jobs.store.active():
        # what a restore saved before it changed anything is what puts the cell back
        if backup_id in {job.backup_id, (job.result or {}).get("safety_backup_id")}:
            message = f"Job {job.job_id} ({job.kind}, {job.state}) works on it."
            raise InputError(Code.BACKUP_IN_USE, message, job_id=job.job_id)
    if await asyncio.to_thread(owed_safety, given.settings.cell_root) == backup_id:
        message = f"'{backup_id}' is what puts the cell back after a restore that was cut off."
        raise InputError(Code.BACKUP_IN_USE, message, hint="Start the worker, which puts the cell back.")
    await asyncio.to_thread(given.store.remove, backup_id)
