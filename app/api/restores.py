"""Starting a restore."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import guarded_router
from app.api.catalog import ANY_ID, BackupId, find
from app.api.choice import Name, check_restore_choice
from app.api.passphrases import Passphrase, lock, unlock
from app.api.problems import problems
from app.api.resources import Given
from app.api.submission import LOCATION, REFUSALS, Accepted, Submitting
from app.api.webhook_fields import Webhook
from app.cell.files import check_cell_root
from app.errors import Code, InputError
from app.jobs.keys import pack_keys
from app.jobs.records import JobKind

router = guarded_router(prefix="/api/config/restore", tag="backups")

_DESCRIPTION = """\
Queues a restore. The job proves the whole archive first and touches nothing before; then it plans, saves what is about
to be replaced, and puts everything in its place in the order in which it is needed. If a step fails, everything is put
back. With `dry_run` it ends after the plan, which is the job's `result`, and nothing has changed.

An encrypted backup needs its passphrase; a wrong one is refused here, and nothing is queued. What is saved first from a
cell whose backup is encrypted is encrypted under the same passphrase. One restore at a time is queued or runs: a second
one is refused with the `job_id` of the first; a dry run is queued at any time.
"""


class RestoreRequest(BaseModel):
    """Choose what is restored and how; every field may be left out."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"passphrase": "correct horse battery", "dry_run": True}}
    )

    passphrase: Annotated[
        Passphrase,
        Field(description="Opens an encrypted backup and encrypts what is saved first; never kept and never shown."),
    ] = None
    components: Annotated[
        list[Name] | None, Field(max_length=100, description="Only these components; left out: all.")
    ] = None
    services: Annotated[
        list[Name] | None, Field(max_length=100, description="Only the volumes of these services; left out: all.")
    ] = None
    # strict, because the text "false" would be taken for the word to begin
    dry_run: Annotated[bool, Field(strict=True, description="Only tell what would happen.")] = False
    safety: Annotated[
        Literal["full", "files", "none"],
        Field(description="What is saved before it is replaced: files and volumes, files alone, or nothing."),
    ] = "full"
    mode: Annotated[
        Literal["equal", "overlay"],
        Field(description="`equal` removes what came after the backup, `overlay` keeps it."),
    ] = "equal"
    damaged: Annotated[
        Literal["refuse", "accept"],
        Field(description="Whether a part that was not saved whole is left as it is, or taken as far as it goes."),
    ] = "refuse"
    regenerate: Annotated[
        Literal["builtin", "hook", "off"] | None,
        Field(description="Who makes Caddyfile, Corefile and routing rules anew; left out: as the service is set up."),
    ] = None
    webhook: Annotated[Webhook | None, Field(description="Who is told of the end.")] = None


@router.post(
    ANY_ID,
    status_code=202,
    operation_id="restore_backup",
    summary="Start a restore",
    description=_DESCRIPTION,
    responses={
        202: LOCATION,
        **problems(
            Code.INVALID_JSON,
            Code.BODY_TOO_LARGE,
            Code.INVALID_REQUEST,
            Code.INVALID_BACKUP_ID,
            Code.BACKUP_NOT_FOUND,
            Code.UNKNOWN_COMPONENT,
            Code.UNKNOWN_SERVICE,
            Code.CELL_ROOT_MISSING,
            Code.CELL_ROOT_UNREADABLE,
            Code.CELL_ROOT_NOT_A_CELL,
            Code.PASSPHRASE_REQUIRED,
            Code.PASSPHRASE_WRONG,
            Code.PASSPHRASE_UNEXPECTED,
            Code.ARCHIVE_DAMAGED,
            Code.ARCHIVE_FOREIGN,
            Code.ARCHIVE_TOO_NEW,
            Code.ARCHIVE_HOSTILE,
            Code.RESTORE_RUNNING,
            *REFUSALS,
            Code.FILE_UNREADABLE,
            Code.INTERNAL,
        ),
    },
)
async def restore_backup(
    given: Given,
    submitting: Submitting,
    backup_id: BackupId,
    wanted: Annotated[RestoreRequest, Body(default_factory=RestoreRequest)],
) -> Accepted:
    """Queue a restore."""
    if (before := await submitting.made_before()) is not None:
        return before
    # the folder first: where it is away, so are the archives in it
    await asyncio.to_thread(_check_folder, given.settings.cell_root)
    entry = await find(given, backup_id)
    check_restore_choice(given.layout, entry, wanted.components, wanted.services)
    request: dict[str, Any] = wanted.model_dump(exclude={"passphrase", "webhook"}) | {"safety_envelope": None}
    secret = None
    data_key = await unlock(given, entry, wanted.passphrase)
    if data_key is not None and wanted.passphrase is not None:
        safety_key = None
        if not wanted.dry_run and wanted.safety != "none":
            envelope, safety_key = await lock(given, wanted.passphrase)
            request["safety_envelope"] = envelope.to_line()
        secret = pack_keys(data_key, safety_key)
    return await submitting.submit(
        JobKind.RESTORE, entry.backup_id, request, secret=secret, webhook=wanted.webhook, sole=not wanted.dry_run
    )


def _check_folder(root: Path) -> None:
    """Raise InputError where the cell root is no folder that can be read; on a new machine it is an empty one."""
    try:
        check_cell_root(root)
    except InputError as error:
        if error.code is not Code.CELL_ROOT_NOT_A_CELL or not root.is_dir():
            raise
