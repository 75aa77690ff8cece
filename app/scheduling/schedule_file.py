"""The file of schedules, in the state directory: what is wanted, and what was done; several processes may write."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from app.errors import BackupError, Code, InputError
from app.jobs.state_dir import locked, read_private, replace_private, unusable
from app.scheduling.schedules import Kept, LastResult, Schedule
from app.settings import Settings

DEFAULT = "default"
_LARGEST = 4 << 20
_Schedules = TypeAdapter(list[Kept])


class ScheduleFile:
    """Keep the schedules by name; everything here blocks.

    Every method raises InputError INVALID_SETTING where the file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.state_dir / "schedules.json"
        self._settings = settings

    def read(self) -> list[Kept]:
        """Give all schedules, oldest first."""
        try:
            content = read_private(self._path, longest=_LARGEST)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(self._path, error.strerror or "cannot be read") from error
        hint = "Put a saved copy back, or remove it."
        try:
            known = _Schedules.validate_json(content)
            for kept in known:
                kept.schedule.times()
        except (ValidationError, BackupError) as error:
            raise unusable(self._path, "does not hold schedules", hint=hint) from error
        return known

    def get(self, name: str) -> Kept:
        """Give one; InputError SCHEDULE_NOT_FOUND."""
        known = self.read()
        return known[_find(known, name)]

    def add(self, schedule: Schedule, now: datetime) -> Kept:
        """Add a schedule, whose times count from now on; InputError SCHEDULE_NAME_TAKEN."""
        kept = Kept(schedule, since=now)
        with self._changing() as known:
            if any(other.schedule.name == schedule.name for other in known):
                raise InputError(Code.SCHEDULE_NAME_TAKEN, f"There is a schedule with the name '{schedule.name}'.")
            known.append(kept)
        return kept

    def change(self, schedule: Schedule, now: datetime) -> Kept:
        """Put a schedule in the place of one, whose times count from now on; InputError SCHEDULE_NOT_FOUND."""
        with self._changing() as known:
            place = _find(known, schedule.name)
            known[place] = replace(known[place], schedule=schedule, since=now)
            return known[place]

    def remove(self, name: str) -> None:
        """Forget a schedule; InputError SCHEDULE_NOT_FOUND."""
        with self._changing() as known:
            del known[_find(known, name)]

    def note(
        self,
        name: str,
        *,
        since: datetime | None = None,
        last: LastResult | None = None,
        pruned_after: str | None = None,
    ) -> None:
        """Note what was done for a schedule, if it is still there; what is None stays as it is."""
        given = {"since": since, "last": last, "pruned_after": pruned_after}
        changes = {field: value for field, value in given.items() if value is not None}
        with self._changing() as known:
            for place, kept in enumerate(known):
                if kept.schedule.name == name:
                    known[place] = replace(kept, **changes)  # type: ignore[arg-type]  # the fields as they are above

    def follow_settings(self, now: datetime) -> None:
        """Make, change or remove the schedule of the settings; one that was changed by hand stays as it is."""
        wanted = _of_settings(self._settings)
        known = {kept.schedule.name: kept.schedule for kept in self.read()}
        found = known.get(DEFAULT)
        if wanted is None and found is not None and found.source == "settings":
            self.remove(DEFAULT)
        elif wanted is not None and found is None:
            self.add(wanted, now)
        elif wanted is not None and found is not None and found.source == "settings" and found != wanted:
            self.change(wanted, now)

    @contextmanager
    def _changing(self) -> Iterator[list[Kept]]:
        """Give the schedules to be changed, one process at a time, and write them unless that fails."""
        with locked(self._path):
            known = self.read()
            before = list(known)
            yield known
            if known == before:
                return
            try:
                replace_private(self._path, _Schedules.dump_json(known, indent=1) + b"\n")
            except OSError as error:
                raise unusable(self._path, error.strerror or "cannot be written") from error


def _find(known: list[Kept], name: str) -> int:
    for place, kept in enumerate(known):
        if kept.schedule.name == name:
            return place
    shown = name[:64].encode("unicode_escape").decode()
    raise InputError(Code.SCHEDULE_NOT_FOUND, f"There is no schedule with the name '{shown}'.")


def _of_settings(settings: Settings) -> Schedule | None:
    if settings.schedule is None:
        return None
    return Schedule(
        name=DEFAULT,
        cron=settings.schedule,
        timezone=settings.timezone,
        passphrase_file=settings.schedule_passphrase_file,
        source="settings",
    )
