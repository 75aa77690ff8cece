"""Reading the audit log."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.access.audit import AuditEvent
from app.access.tokens import Scope
from app.api.auth import guarded_router
from app.api.problems import EXAMPLE_JOB_ID, problems
from app.api.resources import Given
from app.errors import Code

router = guarded_router(prefix="/api/audit", tag="access", scope=Scope.ADMIN, audited=False)

_EXAMPLE: dict[str, Any] = {
    "entry_id": "5c9b1f0e7a3d2846",
    "at": "2026-11-23T02:00:00Z",
    "event": "request",
    "what": "restore_backup",
    "by": "bootstrap",
    "peer": "127.0.0.1",
    "target": "backup-20261123-020000-9f2c1a",
    "job_id": EXAMPLE_JOB_ID,
    "status": 202,
    "outcome": "done",
    "code": None,
    "request_id": "0d1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b",
    "count": 1,
}


class EntryModel(BaseModel):
    """Tell one thing that happened."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _EXAMPLE})

    entry_id: str
    at: datetime
    event: Annotated[
        AuditEvent,
        Field(description="`request`: it was served; `refused`: who asked may not; `job_ended`: a job is over."),
    ]
    what: Annotated[str | None, Field(description="The operation, or the kind of the job.")]
    by: Annotated[str | None, Field(description="Name of the token that asked.")]
    peer: Annotated[str | None, Field(description="The address the request came from.")]
    target: Annotated[str | None, Field(description="The backup, job or token it was about.")]
    job_id: Annotated[str | None, Field(description="The job that was queued, or ended.")]
    status: Annotated[int | None, Field(description="The HTTP status of the answer.")]
    outcome: Annotated[str | None, Field(description="`done`, `refused` or `failed`, or the end state of the job.")]
    code: Annotated[str | None, Field(description="Why not, as the code of a problem document.")]
    request_id: Annotated[str | None, Field(description="The answer's X-Request-Id; the log has it too.")]
    count: Annotated[int, Field(description="How often: what is refused is counted, not told one by one.")]


class AuditPage(BaseModel):
    """Give a part of the audit log, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"entries": [_EXAMPLE], "next_before": _EXAMPLE["entry_id"]}}
    )

    entries: list[EntryModel]
    next_before: Annotated[str | None, Field(description="Ask with this for what is older; null at the end.")]


@router.get(
    "",
    operation_id="read_audit",
    summary="Read the audit log",
    description=(
        "Who asked for what, from where, when, and how it ended, newest first: requests that change or give away "
        "something, requests that were refused, and ends of jobs. Never a passphrase, a token or a body. It goes back "
        "about a hundred thousand entries."
    ),
    responses=problems(Code.INVALID_REQUEST, Code.FILE_UNREADABLE, Code.INTERNAL),
)
async def read_audit(
    given: Given,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to give at most.")] = 100,
    before: Annotated[
        str | None, Query(pattern="^[0-9a-f]{16}$", description="Only what is older than the entry with this id.")
    ] = None,
) -> AuditPage:
    """Give entries of the audit log."""
    found = await asyncio.to_thread(given.audit.read, limit=limit + 1, before=before)
    entries = [EntryModel.model_validate(entry) for entry in found[:limit]]
    return AuditPage(entries=entries, next_before=entries[-1].entry_id if len(found) > limit else None)
