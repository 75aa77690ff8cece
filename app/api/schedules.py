"""Schedules: what is done by itself, when the next times are, and what came of the last one."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Body, Path, Request

from app.api.auth import guarded_router
from app.api.choice import check_choice
from app.api.problems import problems
from app.api.resources import Given, Resources
from app.api.schedule_fields import ScheduleFields, ScheduleList, ScheduleModel, ScheduleRequest
from app.api.submission import LOCATION, REFUSALS, Accepted, Submitting
from app.cell.files import check_cell_root
from app.errors import Code
from app.jobs.records import JobKind
from app.scheduling.firing import prepare
from app.scheduling.schedule_file import ScheduleFile
from app.scheduling.schedules import Kept, LastResult, Outcome, Schedule, ScheduleKind

router = guarded_router(prefix="/api/schedules", tag="schedules")

_BODY = (Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.INVALID_REQUEST)
_CHOSEN = (*_BODY, Code.INVALID_CRON, Code.UNKNOWN_TIMEZONE, Code.UNKNOWN_COMPONENT, Code.UNKNOWN_SERVICE)
_ARCHIVE = (Code.ARCHIVE_FOREIGN, Code.ARCHIVE_TOO_NEW, Code.ARCHIVE_DAMAGED, Code.ARCHIVE_HOSTILE)
ScheduleName = Annotated[str, Path(description="Name of a schedule, as the list gives it.", examples=["nightly"])]


@router.get(
    "",
    operation_id="list_schedules",
    summary="List schedules",
    description="Every schedule, with its next five times and what came of the last one.",
    responses=problems(Code.INVALID_SETTING),
)
async def list_schedules(given: Given) -> ScheduleList:
    """List schedules."""
    known = await asyncio.to_thread(ScheduleFile(given.settings).read)
    return ScheduleList(schedules=await asyncio.to_thread(lambda: [ScheduleModel.of(kept) for kept in known]))


@router.post(
    "",
    status_code=201,
    operation_id="make_schedule",
    summary="Make a schedule",
    description=(
        "Times are counted from now on. The hour that is skipped when clocks are put on is made up for as soon as it "
        "is over, the one that comes twice counts once; a schedule of every hour keeps to the time that passes."
    ),
    responses=problems(*_CHOSEN, Code.SCHEDULE_NAME_TAKEN, Code.INVALID_SETTING),
)
async def make_schedule(request: Request, given: Given, wanted: Annotated[ScheduleRequest, Body()]) -> ScheduleModel:
    """Make a schedule."""
    request.state.target = wanted.name
    schedule = await _checked(given, wanted, wanted.name)
    return await _shown(await asyncio.to_thread(ScheduleFile(given.settings).add, schedule, datetime.now(UTC)))


@router.get(
    "/{name}",
    operation_id="get_schedule",
    summary="Show a schedule",
    description="One schedule, with its next five times and what came of the last one.",
    responses=problems(Code.SCHEDULE_NOT_FOUND, Code.INVALID_REQUEST, Code.INVALID_SETTING),
)
async def get_schedule(given: Given, name: ScheduleName) -> ScheduleModel:
    """Show one schedule."""
    return await _shown(await asyncio.to_thread(ScheduleFile(given.settings).get, name))


@router.put(
    "/{name}",
    operation_id="change_schedule",
    summary="Change a schedule",
    description="All of it; what is left out is as in a new one. Times are counted from now on.",
    responses=problems(*_CHOSEN, Code.SCHEDULE_NOT_FOUND, Code.INVALID_SETTING),
)
async def change_schedule(given: Given, name: ScheduleName, wanted: Annotated[ScheduleFields, Body()]) -> ScheduleModel:
    """Change a schedule."""
    schedule = await _checked(given, wanted, name)
    return await _shown(await asyncio.to_thread(ScheduleFile(given.settings).change, schedule, datetime.now(UTC)))


@router.delete(
    "/{name}",
    status_code=204,
    operation_id="remove_schedule",
    summary="Remove a schedule",
    description=(
        "Jobs that it made go on. The one named `default` comes back when a worker starts, as long as "
        "`CELL_BACKUP_SCHEDULE` is set."
    ),
    responses=problems(Code.SCHEDULE_NOT_FOUND, Code.INVALID_REQUEST, Code.INVALID_SETTING),
)
async def remove_schedule(given: Given, name: ScheduleName) -> None:
    """Remove a schedule."""
    await asyncio.to_thread(ScheduleFile(given.settings).remove, name)


@router.post(
    "/{name}/run",
    status_code=202,
    operation_id="run_schedule",
    summary="Run a schedule now",
    description="Queues the job that this schedule makes, whether or not it is enabled, and leaves its times alone.",
    responses={
        202: LOCATION,
        **problems(
            Code.SCHEDULE_NOT_FOUND,
            Code.INVALID_REQUEST,
            Code.INVALID_SETTING,
            Code.BACKUP_NOT_FOUND,
            Code.PASSPHRASE_REQUIRED,
            Code.PASSPHRASE_WRONG,
            *_ARCHIVE,
            Code.CELL_ROOT_MISSING,
            Code.CELL_ROOT_UNREADABLE,
            Code.CELL_ROOT_NOT_A_CELL,
            Code.FILE_UNREADABLE,
            Code.INTERNAL,
            *REFUSALS,
        ),
    },
)
async def run_schedule(given: Given, submitting: Submitting, name: ScheduleName) -> Accepted:
    """Queue the job of a schedule."""
    if (before := await submitting.made_before()) is not None:
        return before
    file, now = ScheduleFile(given.settings), datetime.now(UTC)
    schedule = (await asyncio.to_thread(file.get, name)).schedule
    if schedule.kind is ScheduleKind.BACKUP:
        await asyncio.to_thread(check_cell_root, given.settings.cell_root)
    async with given.derivation:
        prepared = await prepare(schedule, given.settings, given.store, now)
    accepted = await submitting.submit(
        JobKind(prepared.kind), prepared.backup_id, prepared.request, secret=prepared.secret, webhook=None
    )
    last = LastResult(now, Outcome.STARTED, job_id=accepted.job_id)
    await asyncio.to_thread(lambda: file.note(name, last=last))
    return accepted


async def _checked(given: Resources, wanted: ScheduleFields, name: str) -> Schedule:
    schedule = await asyncio.to_thread(wanted.as_schedule, name, given.settings.timezone)
    await check_choice(given, wanted.components, wanted.services)
    return schedule


async def _shown(kept: Kept) -> ScheduleModel:
    return await asyncio.to_thread(ScheduleModel.of, kept)
