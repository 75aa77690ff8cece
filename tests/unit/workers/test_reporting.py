"""Progress: percent that never goes back, a rate over the last seconds, seconds left."""

from hypothesis import given
from hypothesis import strategies as st

from app.archive.relay import Meter
from workers.reporting import ProgressReport


class Clock:
    """Stand still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_report(total: int | None) -> tuple[ProgressReport, Meter, Clock]:
    clock = Clock()
    report = ProgressReport(clock)
    report.total = total
    return report, Meter(), clock


def test_at_first_nothing_is_known() -> None:
    report, meter, _ = a_report(None)
    progress = report.of(meter)
    assert (progress.percent, progress.bytes_done, progress.bytes_total) == (0, 0, None)
    assert (progress.rate, progress.eta_seconds, progress.current) == (None, None, None)


def test_percent_rate_and_time_left() -> None:
    report, meter, clock = a_report(1000)
    clock.now += 2
    meter.bytes, meter.files, meter.current = 250, 3, "data/x"
    progress = report.of(meter)
    assert progress.percent == 25
    assert (progress.bytes_done, progress.bytes_total, progress.files_done) == (250, 1000, 3)
    assert progress.current == "data/x"
    assert progress.rate == 125
    assert progress.eta_seconds == 6


def test_the_rate_is_that_of_the_last_seconds() -> None:
    report, meter, clock = a_report(1_000_000)
    for _ in range(60):
        clock.now += 1
        meter.bytes += 1000
        report.of(meter)
    for _ in range(15):
        clock.now += 1
        meter.bytes += 10
        progress = report.of(meter)
    assert progress.rate == 10
    assert progress.eta_seconds == (1_000_000 - meter.bytes) / 10


def test_a_job_that_stands_still_has_no_time_left_to_tell() -> None:
    report, meter, clock = a_report(1000)
    meter.bytes = 100
    for _ in range(20):
        clock.now += 1
        progress = report.of(meter)
    assert progress.rate == 0
    assert progress.eta_seconds is None
    assert progress.percent == 10


def test_two_looks_at_one_moment() -> None:
    report, meter, _ = a_report(1000)
    report.of(meter)
    assert report.of(meter).rate is None


def test_99_percent_is_the_most_before_the_end_and_100_at_the_end() -> None:
    report, meter, clock = a_report(1000)
    clock.now += 1
    meter.bytes = 5000  # the total was a guess, and too small
    progress = report.of(meter)
    assert progress.percent == 99
    assert progress.eta_seconds == 0
    ended = report.of(meter, ended=True)
    assert (ended.percent, ended.rate, ended.eta_seconds, ended.current) == (100, None, None, None)


def test_a_guess_that_turns_out_too_small_does_not_take_percent_back() -> None:
    report, meter, clock = a_report(1000)
    clock.now += 1
    meter.bytes = 500
    assert report.of(meter).percent == 50
    report.total = 100_000
    assert report.of(meter).percent == 50
    report.total = None
    assert report.of(meter).percent == 50


def test_nothing_to_do_is_no_division_by_zero() -> None:
    report, meter, clock = a_report(0)
    clock.now += 1
    assert report.of(meter).percent == 0
    assert report.of(meter, ended=True).percent == 100


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 10_000), st.none() | st.integers(0, 100_000))))
def test_percent_never_goes_back_and_nothing_is_negative(steps: list[tuple[float, int, int | None]]) -> None:
    report, meter, clock = a_report(50_000)
    before = 0.0
    for seconds, more, total in steps:
        clock.now += seconds
        meter.bytes += more
        report.total = total
        progress = report.of(meter)
        assert before <= progress.percent <= 99
        assert (progress.rate or 0) >= 0
        assert (progress.eta_seconds or 0) >= 0
        before = progress.percent
