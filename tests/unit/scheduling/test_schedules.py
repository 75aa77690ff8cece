"""When schedules are due: cron expressions, clocks that are put on and back, jitter, and times that were missed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock.cron import Cron
from app.errors import Code, InputError
from app.scheduling.schedules import LATE, Kept, Schedule, due, is_ahead, next_runs

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
# clocks in Berlin: on at 2:00 on March 29, back at 3:00 on October 25
BEFORE_SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
BEFORE_AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)


def local(times: list[datetime], zone: ZoneInfo = BERLIN) -> list[str]:
    return [time.astimezone(zone).strftime("%d %H:%M%z") for time in times]


def kept(since: datetime = NOW, **fields: object) -> Kept:
    schedule = Schedule("nightly", "0 2 * * *")
    return Kept(replace(schedule, **fields), since)  # type: ignore[arg-type]  # the fields, as a test names them


class TestCron:
    @pytest.mark.parametrize(
        "expression",
        [
            "",
            "* * * *",
            "* * * * * *",
            "@daily",
            "60 * * * *",
            "* 24 * * *",
            "0 0 31 2 *",
            "0 0 0 * *",
            "*/0 * * * *",
            "0 2 * * FOO",
            "0 2 * * ²L",
            "-1 * * * *",
            "0 " * 60,
            "9" * 90 + " * * * *",
        ],
    )
    def test_what_is_none_is_refused(self, expression: str) -> None:
        with pytest.raises(InputError) as caught:
            Cron(expression)
        assert caught.value.code is Code.INVALID_CRON

    @given(st.text("0123456789*/,-#LW MONJAN", max_size=30))
    def test_any_text_is_one_or_is_refused(self, expression: str) -> None:
        try:
            cron = Cron(expression, BERLIN)
        except InputError:
            return
        (moment,) = cron.after(NOW, 1)
        assert next(cron.until(moment)) == moment

    def test_times_follow_one_another(self) -> None:
        assert local(Cron("30 2 * * MON", BERLIN).after(NOW, 2)) == ["30 02:30+0100", "07 02:30+0100"]

    def test_what_falls_into_a_skipped_hour_runs_once_as_soon_as_it_is_over(self) -> None:
        found = Cron("30 2 * * *", BERLIN).after(BEFORE_SPRING, 2)
        assert local(found) == ["29 03:00+0200", "30 02:30+0200"]

    @pytest.mark.parametrize("expression", ["*/15 2 * * *", "0,30 2,3 * * *", "0 2,3 * * *"])
    def test_several_that_fall_into_a_skipped_hour_run_once(self, expression: str) -> None:
        found = Cron(expression, BERLIN).after(BEFORE_SPRING, 2)
        assert local(found)[0] == "29 03:00+0200"
        assert found[1] > found[0]

    @pytest.mark.parametrize("expression", ["30 2 * * *", "30 */2 * * *", "30 2-3 * * *"])
    def test_what_falls_into_an_hour_that_comes_twice_runs_the_first_time_only(self, expression: str) -> None:
        found = [time for time in local(Cron(expression, BERLIN).after(BEFORE_AUTUMN, 30)) if time[:5] == "25 02"]
        assert found == ["25 02:30+0200"]

    def test_every_hour_is_every_hour(self) -> None:
        for begin in (BEFORE_SPRING, BEFORE_AUTUMN):
            times = Cron("15 * * * *", BERLIN).after(begin, 48)
            assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(hours=1)}

    def test_a_clock_that_is_put_on_by_half_an_hour(self) -> None:
        lord_howe = ZoneInfo("Australia/Lord_Howe")
        begin = datetime(2026, 10, 3, 0, tzinfo=UTC)
        assert local(Cron("15 2 * * *", lord_howe).after(begin, 2), lord_howe) == ["04 02:30+1100", "05 02:15+1100"]

    @given(
        st.sampled_from(["30 2 * * *", "*/20 2 * * *", "0 * * * *", "0 */2 * * *", "5 1,2,3 * * SUN", "0 0 1 * *"]),
        st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Africa/Cairo"]),
        st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    )
    def test_looking_back_finds_what_looking_ahead_found(self, expression: str, zone: str, begin: datetime) -> None:
        cron = Cron(expression, ZoneInfo(zone))
        ahead = cron.after(begin, 50)
        assert all(later > earlier for earlier, later in pairwise([begin, *ahead]))
        assert list(islice(cron.until(ahead[-1]), 50)) == ahead[::-1]
        between = ahead[20] + (ahead[21] - ahead[20]) / 2
        assert next(cron.until(between)) == ahead[20]
        assert cron.after(between, 1) == [ahead[21]]


class TestDue:
    def test_a_time_is_due_when_it_has_come_and_not_before(self) -> None:
        fire_time = datetime(2026, 11, 24, 2, tzinfo=UTC)
        assert due(kept(), fire_time - timedelta(seconds=1)) is None
        found = due(kept(), fire_time)
        assert found is not None
        assert (found.fire_time, found.missed, found.late) == (fire_time, 0, False)
        assert due(kept(since=fire_time), fire_time + timedelta(hours=3)) is None

    def test_times_from_before_it_was_made_are_never_due(self) -> None:
        assert due(kept(), NOW) is None

    def test_of_times_that_were_missed_the_newest_is_due_and_the_others_are_counted(self) -> None:
        found = due(kept(), NOW + timedelta(days=10))
        assert found is not None
        assert (found.fire_time, found.missed, found.late) == (datetime(2026, 12, 3, 2, tzinfo=UTC), 9, True)

    def test_a_machine_that_was_off_for_years_is_quick_to_tell(self) -> None:
        found = due(kept(cron="* * * * *"), NOW + timedelta(days=3650))
        assert found is not None
        assert (found.fire_time, found.missed) == (NOW + timedelta(days=3650), 1000)

    def test_a_little_late_is_not_missed(self) -> None:
        fire_time = datetime(2026, 11, 24, 2, tzinfo=UTC)
        found = due(kept(), fire_time + LATE)
        assert found is not None
        assert not found.late

    def test_jitter_puts_each_time_off_by_as_much_wherever_it_is_asked(self) -> None:
        jittered = kept(jitter=3600)
        fire_time = datetime(2026, 11, 24, 2, tzinfo=UTC)
        run_time = jittered.schedule.run_time(fire_time)
        assert fire_time <= run_time <= fire_time + timedelta(hours=1)
        assert due(jittered, run_time - timedelta(seconds=1)) is None
        found = due(jittered, run_time)
        assert found is not None
        assert (found.fire_time, found.late) == (fire_time, False)

    def test_jitter_differs_from_time_to_time_and_from_one_schedule_to_the_other(self) -> None:
        times = Cron("0 2 * * *").after(NOW, 30)
        one, other = Schedule("one", "0 2 * * *", jitter=3600), Schedule("other", "0 2 * * *", jitter=3600)
        delays = [{schedule.run_time(time) - time for time in times} for schedule in (one, other)]
        assert min(len(found) for found in delays) > 20
        assert delays[0] != delays[1]

    def test_what_is_not_enabled_is_never_due(self) -> None:
        off = kept(enabled=False)
        assert due(off, NOW + timedelta(days=10)) is None
        assert next_runs(off.schedule, NOW) == []

    def test_a_clock_that_is_put_back_by_more_than_an_hour_is_noticed(self) -> None:
        assert is_ahead(kept(since=NOW + timedelta(days=4000)), NOW)
        assert not is_ahead(kept(since=NOW + timedelta(hours=1)), NOW)


def test_the_next_runs_are_those_that_will_be() -> None:
    schedule = Schedule("nightly", "0 2 * * *", timezone="Europe/Berlin", jitter=3600)
    runs = next_runs(schedule, NOW)
    assert len(runs) == 5
    since = NOW
    for run in runs:
        assert due(Kept(schedule, since), run - timedelta(seconds=1)) is None
        found = due(Kept(schedule, since), run)
        assert found is not None
        since = found.fire_time


def test_a_time_that_has_come_but_waits_for_its_jitter_is_the_next_run() -> None:
    schedule = Schedule("nightly", "0 2 * * *", jitter=3600)
    fire_time = datetime(2026, 11, 24, 2, tzinfo=UTC)
    run_time = schedule.run_time(fire_time)
    assert run_time > fire_time
    assert next_runs(schedule, fire_time)[0] == run_time
