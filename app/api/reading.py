"""Looking into an archive: verify it to its last byte, list what it holds."""

import asyncio
import threading
from datetime import datetime
from typing import Annotated

from fastapi import Body, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.api.auth import guarded_router
from app.api.catalog import ANY_ID, BackupId, find
from app.api.passphrases import Unlocking, unlock
from app.api.problems import problems
from app.api.resources import Given, Resources
from app.api.submission import LOCATION, REFUSALS, Accepted, Submitting
from app.api.webhook_fields import Webhook
from app.archive.contents import MemberInfo, list_members
from app.errors import Code, JobError
from app.jobs.records import JobKind

router = guarded_router(prefix="/api/config/backups", tag="backups")

_LOCKED = (Code.PASSPHRASE_REQUIRED, Code.PASSPHRASE_WRONG, Code.PASSPHRASE_UNEXPECTED)
_DAMAGED = (
    Code.ARCHIVE_DAMAGED,
    Code.ARCHIVE_TRUNCATED,
    Code.ARCHIVE_FOREIGN,
    Code.ARCHIVE_TOO_NEW,
    Code.ARCHIVE_HOSTILE,
)
_NAMED = (Code.FILE_UNREADABLE, Code.INTERNAL, Code.BACKUP_NOT_FOUND, Code.INVALID_BACKUP_ID, Code.INVALID_REQUEST)
_BODY = (Code.INVALID_JSON, Code.BODY_TOO_LARGE)


class VerifyRequest(Unlocking):
    """Say how an archive is opened, and who is told what came of it; every field may be left out."""

    webhook: Annotated[Webhook | None, Field(description="Who is told of the end.")] = None


@router.post(
    ANY_ID + "/verify",
    status_code=202,
    operation_id="verify_backup",
    summary="Verify a backup",
    description=(
        "Queues a job that reads the whole archive and checks every digest in it. An encrypted one needs its "
        "passphrase; a wrong one is refused here and nothing is queued."
    ),
    responses={
        202: LOCATION,
        **problems(*_NAMED, *_BODY, *_LOCKED, *_DAMAGED, *REFUSALS),
    },
)
async def verify_backup(
    given: Given,
    submitting: Submitting,
    backup_id: BackupId,
    wanted: Annotated[VerifyRequest, Body(default_factory=VerifyRequest)],
) -> Accepted:
    """Queue a verification."""
    if (before := await submitting.made_before()) is not None:
        return before
    entry = await find(given, backup_id)
    data_key = await unlock(given, entry, wanted.passphrase)
    return await submitting.submit(JobKind.VERIFY, entry.backup_id, {}, secret=data_key, webhook=wanted.webhook)


class MemberModel(BaseModel):
    """Describe one file, directory or link in an archive."""

    model_config = ConfigDict(from_attributes=True)

    path: Annotated[str, Field(description="Bytes that are not UTF-8 show in hexadecimal.")]
    kind: str
    size: Annotated[int, Field(description="Bytes of contents.")]
    mode: Annotated[str, Field(description="Permission bits, octal.")]
    uid: int
    gid: int
    mtime: datetime
    link: Annotated[str | None, Field(description="What a link points to.")]


class Contents(BaseModel):
    """Give a part of what an archive holds, in its order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "members": [
                    {
                        "path": "data/vault/ca.crt",
                        "kind": "file",
                        "size": 1204,
                        "mode": "0640",
                        "uid": 1000,
                        "gid": 1000,
                        "mtime": "2026-11-22T18:00:00Z",
                        "link": None,
                    }
                ],
                "next_offset": 1,
            }
        }
    )

    members: list[MemberModel]
    next_offset: Annotated[int | None, Field(description="Ask with this offset for what follows; null at the end.")]


class Page(BaseModel):
    """Say which members to give."""

    model_config = ConfigDict(extra="forbid")

    prefix: Annotated[
        str, Field(max_length=4096, description="Only members whose path begins like this.", examples=["data/vault/"])
    ] = ""
    offset: Annotated[int, Field(ge=0, le=2**53, description="How many of them to pass over.")] = 0
    limit: Annotated[int, Field(ge=1, le=10_000, description="How many to give at most.")] = 1000


@router.get(
    ANY_ID + "/contents",
    operation_id="list_contents",
    summary="List the contents of a plain backup",
    description="Reads the archive from its start; an encrypted one is read by POST with its passphrase.",
    responses=problems(*_NAMED, Code.PASSPHRASE_REQUIRED, *_DAMAGED),
)
async def list_contents(given: Given, backup_id: BackupId, page: Annotated[Page, Query()]) -> Contents:
    """List the members of a plain archive."""
    return await _contents(given, backup_id, None, page)


@router.post(
    ANY_ID + "/contents",
    operation_id="list_encrypted_contents",
    summary="List the contents of an encrypted backup",
    description="Reads the archive from its start with the passphrase, which is neither kept nor shown.",
    responses=problems(*_NAMED, *_BODY, *_LOCKED, *_DAMAGED),
)
async def list_encrypted_contents(
    given: Given,
    backup_id: BackupId,
    page: Annotated[Page, Query()],
    unlocking: Annotated[Unlocking, Body(default_factory=Unlocking)],
) -> Contents:
    """List the members of an encrypted archive."""
    return await _contents(given, backup_id, unlocking.passphrase, page)


async def _contents(given: Resources, backup_id: str, passphrase: SecretStr | None, page: Page) -> Contents:
    entry = await find(given, backup_id)
    data_key = await unlock(given, entry, passphrase)
    # one more than is asked for tells whether anything follows
    stop = threading.Event()
    async with given.listing:
        try:
            members = await asyncio.to_thread(_members, given, backup_id, data_key, page, stop)
        finally:
            stop.set()  # a request that is cancelled leaves no thread reading
    more = len(members) > page.limit
    return Contents(
        members=[MemberModel.model_validate(member) for member in members[: page.limit]],
        next_offset=page.offset + page.limit if more else None,
    )


def _members(
    given: Resources, backup_id: str, data_key: bytes | None, page: Page, stop: threading.Event
) -> list[MemberInfo]:
    def keep_going() -> None:
        if stop.is_set():
            raise JobError(Code.CANCELLED, "The request was cancelled.")

    with given.store.open(backup_id) as file:
        return list_members(
            file,
            data_key=data_key,
            prefix=page.prefix,
            offset=page.offset,
            limit=page.limit + 1,
            keep_going=keep_going,
        )
