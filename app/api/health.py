"""Whether the service is alive, and whether it can do its work."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from app import __version__
from app.api.auth import guarded_router
from app.api.choice import ENGINE_PATIENCE
from app.api.problems import problems
from app.api.resources import Given, Resources
from app.cell.files import check_cell_root
from app.errors import BackupError, Code, UnavailableError

_PATIENCE = 5.0
public = APIRouter(tags=["health"])
router = guarded_router(tag="health")


class Health(BaseModel):
    """Say that the service answers."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok", "version": __version__}})

    status: Literal["ok"] = "ok"
    version: str = __version__


class Check(BaseModel):
    """Hold the answer to one question."""

    name: str
    ok: bool
    required: Annotated[bool, Field(description="False: backups run without it, but lack something.")] = True
    detail: str


class Readiness(BaseModel):
    """Say whether backups can run, and if not, why."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ready": True,
                "checks": [{"name": "redis", "ok": True, "required": True, "detail": "It answers."}],
            }
        }
    )

    ready: Annotated[bool, Field(description="Whether every required check is good.")]
    checks: list[Check]


@public.get(
    "/health",
    operation_id="health",
    summary="Is the service alive?",
    description="Answers without a token as long as the HTTP face runs; looks at nothing else.",
    responses=problems(Code.INTERNAL),
)
async def health() -> Health:
    """Answer."""
    return Health()


@router.get(
    "/ready",
    operation_id="ready",
    summary="Can backups run?",
    description="Checks Redis, the worker, the cell root, the backup directory and the Docker engine.",
    responses={503: {"model": Readiness, "description": "Something that backups need is missing."}},
)
async def ready(given: Given, response: Response) -> Readiness:
    """Run every check, all at once."""
    checks = await asyncio.gather(
        _check("redis", given.jobs.secrets.ping(), "It answers."),
        _check("worker", _worker_alive(given), "One has reported itself within the last minute."),
        _check("cell_root", _in_thread(check_cell_root, given.settings.cell_root), "It can be read."),
        _check("backup_dir", _in_thread(_check_writable, given.settings.archives_dir), "It can be written to."),
        _check("engine", _engine_answers(given), "It answers.", required=False),
    )
    good = all(check.ok for check in checks if check.required)
    response.status_code = 200 if good else 503
    return Readiness(ready=good, checks=list(checks))


async def _check(name: str, looking: Awaitable[None], detail: str, *, required: bool = True) -> Check:
    try:
        async with asyncio.timeout(_PATIENCE):
            await looking
    except TimeoutError:
        return Check(name=name, ok=False, required=required, detail="It does not answer in time.")
    except BackupError as error:
        return Check(name=name, ok=False, required=required, detail=f"{error.message} {error.hint}")
    return Check(name=name, ok=True, required=required, detail=detail)


async def _in_thread(look: Callable[[Path], None], path: Path) -> None:
    await asyncio.to_thread(look, path)


async def _worker_alive(given: Resources) -> None:
    if not await given.jobs.queue.workers_alive():
        raise UnavailableError(Code.WORKER_UNAVAILABLE, "No worker has reported itself within the last minute.")


async def _engine_answers(given: Resources) -> None:
    try:
        async with asyncio.timeout(ENGINE_PATIENCE):
            await given.engine.info()
    except TimeoutError as error:
        raise UnavailableError(Code.ENGINE_UNREACHABLE, "The Docker engine does not answer in time.") from error


def _check_writable(path: Path) -> None:
    """Look at the directory itself, or at the one it would be made in; writes nothing."""
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        raise UnavailableError(
            Code.WRITE_FAILED,
            f"The backup directory {path} cannot be written to.",
            hint="Give the service the right to write there, or set CELL_BACKUP_BACKUP_DIR.",
        )
