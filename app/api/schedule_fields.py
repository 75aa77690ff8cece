"""What a schedule is made of, and how it is shown."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.backups import Label
from app.api.choice import Name
from app.api.problems import EXAMPLE_JOB_ID
from app.scheduling.schedules import Kept, Outcome, Overlap, Schedule, ScheduleKind, next_runs

_WANTED: dict[str, Any] = {
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "kind": "backup",
    "jitter": 600,
    "catch_up": True,
    "overlap": "skip",
    "components": None,
    "services": None,
    "label": "nightly",
    "passphrase_file": "/etc/cell-backup/passphrase",
    "enabled": True,
}
_EXAMPLE: dict[str, Any] = {
    "name": "nightly",
    **_WANTED,
    "source": "request",
    "next_runs": ["2026-11-24T01:34:12Z", "2026-11-25T01:31:55Z"],
    "last_result": {
        "at": "2026-11-23T01:38:02Z",
        "outcome": "started",
        "fire_time": "2026-11-23T01:30:00Z",
        "missed": 0,
        "job_id": EXAMPLE_JOB_ID,
        "code": None,
        "message": None,
    },
}


class ScheduleFields(BaseModel):
    """Say what is done by itself, and when."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _WANTED})

    cron: Annotated[
        str, Field(max_length=100, description="Minute, hour, day, month, weekday, as Debian's cron reads them.")
    ]
    timezone: Annotated[
        str | None, Field(max_length=64, description="Such as `Europe/Berlin`; left out: `CELL_BACKUP_TIMEZONE`.")
    ] = None
    kind: Annotated[ScheduleKind, Field(description="`verify` reads the newest backup to its end.")] = (
        ScheduleKind.BACKUP
    )
    jitter: Annotated[
        int, Field(ge=0, le=6 * 3600, description="Up to so many seconds later; the same for the same time.")
    ] = 0
    catch_up: Annotated[
        bool, Field(description="Whether the newest time that passed while the service did not run is made up for.")
    ] = True
    overlap: Annotated[Overlap, Field(description="What is done while its last job has not ended.")] = Overlap.SKIP
    components: Annotated[
        list[Name] | None, Field(max_length=100, description="Only these components; left out: all.")
    ] = None
    services: Annotated[
        list[Name] | None, Field(max_length=100, description="Only the volumes of these services; left out: all.")
    ] = None
    label: Annotated[Label | None, Field(description="A line to recognise the backups by.")] = None
    passphrase_file: Annotated[
        str | None,
        Field(
            pattern=r"^/[^\x00\n]+$",
            max_length=1024,
            description=(
                "Its first line is the passphrase. It is read at each time, and never kept; it must belong to the "
                "user of the service and be readable for nobody else."
            ),
        ),
    ] = None
    enabled: bool = True

    def as_schedule(self, name: str, timezone: str) -> Schedule:
        """Give the schedule, in this time zone where it names none; InputError INVALID_CRON or UNKNOWN_TIMEZONE."""
        schedule = Schedule(
            name=name,
            cron=" ".join(self.cron.split()),
            timezone=self.timezone or timezone,
            kind=self.kind,
            jitter=self.jitter,
            catch_up=self.catch_up,
            overlap=self.overlap,
            components=None if self.components is None else tuple(self.components),
            services=None if self.services is None else tuple(self.services),
            label=self.label,
            passphrase_file=None if self.passphrase_file is None else Path(self.passphrase_file),
            enabled=self.enabled,
        )
        schedule.times()
        return schedule


class ScheduleRequest(ScheduleFields):
    """Name a new schedule."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "nightly", **_WANTED}})

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class LastResultModel(BaseModel):
    """Say what came of the last time."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    outcome: Annotated[
        Outcome,
        Field(
            description=(
                "`started`: a job was made; `skipped`: the job before had not ended; `refused`: none could be made, "
                "and `code` says why; `missed`: the service did not run, and `catch_up` is off."
            )
        ),
    ]
    fire_time: Annotated[datetime | None, Field(description="Which time it was, without jitter; null: by hand.")]
    missed: Annotated[int, Field(description="How many times before it passed while the service did not run.")]
    job_id: Annotated[str | None, Field(description="The job that was made, or that was in the way.")]
    code: str | None
    message: str | None


class ScheduleModel(BaseModel):
    """Describe a schedule."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _EXAMPLE})

    name: str
    cron: str
    timezone: str
    kind: ScheduleKind
    jitter: int
    catch_up: bool
    overlap: Overlap
    components: list[str] | None
    services: list[str] | None
    label: str | None
    passphrase_file: str | None
    enabled: bool
    source: Annotated[Literal["settings", "request"], Field(description="`settings`: made of `CELL_BACKUP_SCHEDULE`.")]
    next_runs: Annotated[list[datetime], Field(description="When the next five jobs will be made, jitter included.")]
    last_result: LastResultModel | None

    @classmethod
    def of(cls, kept: Kept) -> "ScheduleModel":
        """Show one schedule."""
        schedule = kept.schedule
        return cls(
            name=schedule.name,
            cron=schedule.cron,
            timezone=schedule.timezone,
            kind=schedule.kind,
            jitter=schedule.jitter,
            catch_up=schedule.catch_up,
            overlap=schedule.overlap,
            components=None if schedule.components is None else list(schedule.components),
            services=None if schedule.services is None else list(schedule.services),
            label=schedule.label,
            passphrase_file=None if schedule.passphrase_file is None else str(schedule.passphrase_file),
            enabled=schedule.enabled,
            source=schedule.source,
            next_runs=next_runs(schedule, datetime.now(UTC)),
            last_result=None if kept.last is None else LastResultModel.model_validate(kept.last),
        )


class ScheduleList(BaseModel):
    """Give every schedule, oldest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"schedules": [_EXAMPLE]}})

    schedules: list[ScheduleModel]
