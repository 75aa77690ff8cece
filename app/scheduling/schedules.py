"""Schedules: what is done by itself, when it is due, and what came of it the last time."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Literal

from app.clock.cron import Cron
from app.clock.zones import zone_of

LATE = timedelta(minutes=5)  # what comes later than this was missed: the service did not run
_COUNTED = 1000
_AHEAD = timedelta(hours=1)


class ScheduleKind(StrEnum):
    """Name what can be done by itself: a backup, or verifying the newest one."""

    BACKUP = "backup"
    VERIFY = "verify"


class Overlap(StrEnum):
    """Say what becomes of a time that comes while the schedule's last job still waits or runs."""

    SKIP = "skip"
    QUEUE = "queue"


class Outcome(StrEnum):
    """Say what came of a time: a job that was made, none because of the last one, none that could work, none at all."""

    STARTED = "started"
    SKIPPED = "skipped"
    REFUSED = "refused"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Hold what somebody wants done when; `jitter` in seconds, `passphrase_file` is read each time."""

    name: str
    cron: str
    timezone: str = "UTC"
    kind: ScheduleKind = ScheduleKind.BACKUP
    jitter: int = 0
    catch_up: bool = True
    overlap: Overlap = Overlap.SKIP
    components: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None
    label: str | None = None
    passphrase_file: Path | None = None
    enabled: bool = True
    source: Literal["request", "settings"] = "request"

    def times(self) -> Cron:
        """Give its times, without jitter; InputError INVALID_CRON or UNKNOWN_TIMEZONE."""
        return Cron(self.cron, zone_of(self.timezone))

    def run_time(self, fire_time: datetime) -> datetime:
        """Give when the job of that time is made: the same for the same time, wherever it is asked."""
        digest = hashlib.sha256(f"{self.name}\0{fire_time.isoformat()}".encode()).digest()
        return fire_time + timedelta(seconds=int.from_bytes(digest[:8]) % (self.jitter + 1))


@dataclass(frozen=True, slots=True)
class LastResult:
    """Say what came of the last time; `fire_time` is None where somebody ran it by hand.

    `missed` counts the times before it that passed while the service did not run, up to a thousand.
    """

    at: datetime
    outcome: Outcome
    fire_time: datetime | None = None
    missed: int = 0
    job_id: str | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Hold a schedule with what was done: every time up to `since`, retention after the job `pruned_after`."""

    schedule: Schedule
    since: datetime
    last: LastResult | None = None
    pruned_after: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """Name a time that has come, how many before it were missed, and whether it is late itself."""

    fire_time: datetime
    missed: int
    late: bool


def is_ahead(kept: Kept, now: datetime) -> bool:
    """Tell whether the clock was wrong, and has been put right: its times count anew then."""
    return kept.since > now + _AHEAD


def due(kept: Kept, now: datetime) -> Due | None:
    """Give the newest time that has come and that nothing was done about; None where there is none."""
    schedule = kept.schedule
    if not schedule.enabled:
        return None
    come: list[datetime] = []
    for fire_time in schedule.times().until(now):
        if fire_time <= kept.since or len(come) > _COUNTED:
            break
        if schedule.run_time(fire_time) <= now:
            come.append(fire_time)
    if not come:
        return None
    return Due(come[0], missed=len(come) - 1, late=now - schedule.run_time(come[0]) > LATE)


def next_runs(schedule: Schedule, now: datetime, count: int = 5) -> list[datetime]:
    """Give when the next jobs will be made; none where the schedule is not enabled."""
    if not schedule.enabled:
        return []
    jittered = timedelta(seconds=schedule.jitter)
    times = schedule.times().after(now - jittered, _COUNTED)
    runs = (run for time in times if (run := schedule.run_time(time)) > now)
    return sorted(islice(runs, count))
