"""Cron expressions in a time zone, where the clock is put on and back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from app.errors import Code, InputError

_LONGEST = 100
_SHIFT = timedelta(hours=3)  # no clock was ever put on or back by more, but for whole days
_ANY_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - the wall clock of any place


class Cron:
    """Give the moments that five fields name: minute, hour, day, month, weekday.

    An expression whose hour is `*` runs by the time that passes. Every other one runs by the wall clock: what falls
    into an hour that is skipped runs once, as soon as it is over, and what falls into one that comes twice, the first
    time. Raises InputError INVALID_CRON.
    """

    def __init__(self, expression: str, zone: ZoneInfo | None = None) -> None:
        fields = expression.split()
        if len(expression) > _LONGEST or len(fields) != 5:
            raise InputError(Code.INVALID_CRON, "A cron expression has five fields.")
        self.expression = " ".join(fields)
        self._zone = zone or ZoneInfo("UTC")
        self._by_wall_clock = fields[1] != "*"
        try:
            ever = next(CronSim(self.expression, _ANY_DAY), None)
        except CronSimError as error:
            raise InputError(Code.INVALID_CRON, f"The cron expression cannot be read: {error}.") from error
        if ever is None:
            raise InputError(Code.INVALID_CRON, "The cron expression names no day that ever comes.")

    def after(self, moment: datetime, count: int) -> list[datetime]:
        """Give the next moments after one, oldest first, in UTC."""
        return list(islice(self._walk(moment, back=False), count))

    def until(self, moment: datetime) -> Iterator[datetime]:
        """Give the moments up to this one, newest first, in UTC."""
        return self._walk(moment, back=True)

    def _walk(self, moment: datetime, *, back: bool) -> Iterator[datetime]:
        begin = (moment + _SHIFT if back else moment - _SHIFT).astimezone(self._zone)
        before = None
        for told in CronSim(self.expression, begin.replace(tzinfo=None) if self._by_wall_clock else begin, back):
            found = self._moment(told) if told.tzinfo is None else told.astimezone(UTC)
            if (found > moment) is back or found == before:
                continue
            before = found
            yield found

    def _moment(self, told: datetime) -> datetime:
        """Give the moment at which the wall clock shows this for the first time, or first shows something later."""
        while True:
            found = told.replace(tzinfo=self._zone).astimezone(UTC)
            if found.astimezone(self._zone).replace(tzinfo=None) == told:
                return found
            told += timedelta(minutes=1)
