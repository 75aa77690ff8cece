"""Starting a backup."""

import asyncio
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.api.auth import guarded_router
from app.api.choice import Name, check_choice
from app.api.passphrases import Passphrase, lock
from app.api.problems import problems
from app.api.resources import Given
from app.api.submission import LOCATION, REFUSALS, Accepted, Submitting
from app.api.webhook_fields import Webhook
from app.catalog.names import new_backup_id
from app.cell.files import check_cell_root
from app.errors import Code
from app.jobs.records import JobKind

router = guarded_router(prefix="/api/config", tag="backups")


def _one_line(text: str) -> str:
    if any(unicodedata.category(letter) in {"Cc", "Zl", "Zp"} for letter in text):
        raise ValueError("must be one line of text without control characters")
    return text


Label = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]


class BackupRequest(BaseModel):
    """Choose what a backup holds and how it is kept; every field may be left out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"passphrase": "correct horse battery", "label": "before the update"}},
    )

    passphrase: Annotated[Passphrase, Field(description="Encrypts the archive; never kept and never shown.")] = None
    components: Annotated[
        list[Name] | None, Field(max_length=100, description="Only these components; left out: all.")
    ] = None
    services: Annotated[
        list[Name] | None, Field(max_length=100, description="Only the volumes of these services; left out: all.")
    ] = None
    label: Annotated[Label | None, Field(description="A line to recognise the backup by.")] = None
    webhook: Annotated[Webhook | None, Field(description="Who is told of the end.")] = None


@router.post(
    "/backup",
    status_code=202,
    operation_id="create_backup",
    summary="Start a backup",
    description=(
        "Queues a backup of the cell. An empty body gives a plain archive of everything; a passphrase gives an "
        "encrypted one, which nobody can open without it: the service does not keep it."
    ),
    responses={
        202: LOCATION,
        **problems(
            Code.INVALID_JSON,
            Code.BODY_TOO_LARGE,
            Code.INVALID_REQUEST,
            Code.UNKNOWN_COMPONENT,
            Code.UNKNOWN_SERVICE,
            Code.CELL_ROOT_MISSING,
            Code.CELL_ROOT_UNREADABLE,
            Code.CELL_ROOT_NOT_A_CELL,
            *REFUSALS,
        ),
    },
)
async def create_backup(
    given: Given, submitting: Submitting, wanted: Annotated[BackupRequest, Body(default_factory=BackupRequest)]
) -> Accepted:
    """Queue a backup."""
    if (before := await submitting.made_before()) is not None:
        return before
    await asyncio.to_thread(check_cell_root, given.settings.cell_root)
    await check_choice(given, wanted.components, wanted.services)
    request: dict[str, Any] = wanted.model_dump(exclude={"passphrase", "webhook"})
    data_key = None
    if wanted.passphrase is not None:
        envelope, data_key = await lock(given, wanted.passphrase)
        request["envelope"] = envelope.to_line()
    backup_id = new_backup_id(datetime.now(UTC))
    return await submitting.submit(JobKind.BACKUP, backup_id, request, secret=data_key, webhook=wanted.webhook)
