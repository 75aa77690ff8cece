"""What a job's stream tells, and the places in it."""

import re
from dataclasses import asdict
from typing import Any

from app.jobs.records import Job

KEPT = 1000  # events a job
BEGINNING = (0, 0)


def event_data(job: Job) -> dict[str, Any]:
    """Say where a job stands, as plain JSON values."""
    return {"state": job.state.value, "stage": job.stage, "progress": asdict(job.progress)}


def place_after(event_id: str | None) -> tuple[int, int]:
    """Give the place in a stream that an event id names; what names none is the beginning."""
    match = re.fullmatch(r"([0-9]{1,20})-([0-9]{1,20})", event_id or "")
    place = (int(match[1]), int(match[2])) if match else BEGINNING
    return place if max(place) < 2**64 else BEGINNING
