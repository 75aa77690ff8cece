"""A job as server-sent events: what happens to it as it happens, then its end."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from app.api.finding import find_job
from app.api.resources import Resources
from app.errors import InputError, UnavailableError
from app.jobs.document import document
from app.jobs.events import event_data
from app.jobs.records import Event, Job, JobState

END = "end"
_LOOK = 0.5  # seconds; a worker writes its job's record about twice a second
_MANY = 100
_SILENCE = 15.0  # seconds after which proxies and clients are told that somebody is still there


async def follow(given: Resources, job: Job, after: str | None) -> AsyncGenerator[bytes]:
    """Give what happened to the job after an event, and on until it has ended, is forgotten, or the service ends.

    Each reader is at its own place in what the store keeps, so one that is slow holds nothing up and nothing back.
    """
    if job.state is JobState.QUEUED:
        yield _told("progress", event_data(job), event_id=None)  # nothing has happened to it yet
    said = time.monotonic()
    while not given.closing.is_set():
        try:
            events, ended = await _news(given, job.job_id, after)
        except InputError:  # it was forgotten meanwhile
            return
        for event in events:
            yield _told("progress", event.data, event_id=event.event_id)
            after, said = event.event_id, time.monotonic()
        if ended is not None:
            yield _told(END, document(ended), event_id=END)
            return
        if len(events) == _MANY:
            continue
        if time.monotonic() - said > _SILENCE:
            yield KEEPALIVE_COMMENT
            said = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(given.closing.wait(), _LOOK)


async def _news(given: Resources, job_id: str, after: str | None) -> tuple[list[Event], Job | None]:
    """Give what came after an event, and the job where that was its end; nothing new while Redis is away."""
    try:
        events = await given.jobs.store.events(job_id, after=after, limit=_MANY)
        if events and not _is_end(events[-1]):
            return events, None
        job = await find_job(given, job_id)  # a job whose worker died ends without an event
        if not job.state.ended:
            return events, None
        between = await given.jobs.store.events(job_id, after=events[-1].event_id if events else after, limit=_MANY)
    except UnavailableError:
        return [], None
    # what the last event says, the end says too: 100 percent is never told before
    return [event for event in [*events, *between] if not _is_end(event)], job


def _is_end(event: Event) -> bool:
    return JobState(event.data["state"]).ended


def _told(name: str, data: dict[str, Any], *, event_id: str | None) -> bytes:
    return format_sse_event(data_str=json.dumps(data), event=name, id=event_id)
