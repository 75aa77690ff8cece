"""Progress: percent that never goes back, a rate over the last seconds, seconds left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive.relay import Meter
from app.cell.layout import load_layout
from workers.reporting import ProgressReport, part_at


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
    meter.bytes, meter.files = 250, 3
    progress = report.of(meter, current="vault")
    assert progress.percent == 25
    assert (progress.bytes_done, progress.bytes_total, progress.files_done) == (250, 1000, 3)
    assert progress.current == "vault"
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
    meter.bytes = 1000
    progress = report.of(meter)
    assert (progress.percent, progress.eta_seconds) == (99, 0)
    ended = report.of(meter, ended=True)
    assert (ended.percent, ended.rate, ended.eta_seconds, ended.current) == (100, None, None, None)
    assert (ended.bytes_done, ended.bytes_total, ended.estimated) == (1000, 1000, False)


@pytest.mark.parametrize("estimated", [True, False])
def test_a_total_that_is_overtaken_follows_and_nobody_knows_how_long_it_takes(estimated: bool) -> None:  # noqa: FBT001
    report, meter, clock = a_report(1000)
    report.estimated = estimated
    clock.now += 1
    meter.bytes = 5000
    progress = report.of(meter)
    assert (progress.percent, progress.bytes_done, progress.bytes_total) == (99, 5000, 5000)
    assert (progress.estimated, progress.rate, progress.eta_seconds) == (True, 5000, None)


def test_what_came_before_the_first_byte_does_not_slow_the_rate_down() -> None:
    report, meter, clock = a_report(10_000)
    for _ in range(200):  # it waits for its turn, and then looks at the cell
        clock.now += 1
        assert report.of(meter).rate is None
    meter.bytes = 1000
    clock.now += 1
    assert report.of(meter).rate == 1000


def test_a_rate_is_not_told_from_less_than_a_second() -> None:
    report, meter, clock = a_report(10_000)
    clock.now += 0.4
    meter.bytes = 5000
    progress = report.of(meter)
    assert (progress.rate, progress.eta_seconds) == (None, None)
    clock.now += 0.6
    assert report.of(meter).rate == 5000


def test_after_a_standstill_the_rate_is_that_of_what_comes_then() -> None:
    report, meter, clock = a_report(1_000_000)
    clock.now += 1
    meter.bytes = 100_000
    assert report.of(meter).rate == 100_000
    for _ in range(60):
        clock.now += 1
        progress = report.of(meter)
    assert (progress.rate, progress.eta_seconds) == (0, None)
    clock.now += 1
    meter.bytes += 500
    assert report.of(meter).rate == 500


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


Steps = list[tuple[float, int, int | None, bool]]


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.integers(0, 10_000), st.none() | st.integers(0, 100_000), st.booleans()),
        min_size=1,
    )
)
def test_progress_never_contradicts_itself(steps: Steps) -> None:
    report, meter, clock = a_report(50_000)
    before = 0.0
    fastest = 0.0
    for seconds, more, total, estimated in steps:
        clock.now += seconds
        meter.bytes += more
        report.total, report.estimated = total, estimated
        fastest = max(fastest, more)
        progress = report.of(meter)
        assert before <= progress.percent <= 99
        assert progress.bytes_done == meter.bytes
        assert progress.bytes_total is None or progress.bytes_done <= progress.bytes_total
        assert progress.estimated or progress.bytes_total == total
        assert progress.rate is None or 0 <= progress.rate <= meter.bytes
        assert progress.eta_seconds is None or progress.eta_seconds >= 0
        assert (progress.eta_seconds is None) or progress.rate
        before = progress.percent
    assert report.of(meter, ended=True).percent == 100


@given(st.integers(1, 10**9), st.floats(0.1, 5), st.integers(2, 60))
def test_what_is_read_evenly_has_that_rate_and_ends_when_it_says(speed: int, pause: float, looks: int) -> None:
    total = speed * 1000
    report, meter, clock = a_report(total)
    began = clock.now
    for _ in range(looks):
        clock.now += pause
        meter.bytes = int((clock.now - began) * speed)
        progress = report.of(meter)
    if progress.rate is None:
        assert clock.now - began < 1
        return
    assert progress.rate == pytest.approx(speed, rel=0.01, abs=2)
    if speed > 1000:
        assert progress.eta_seconds == pytest.approx(1000 - (clock.now - began), rel=0.02)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("services/mail/mailboxes/new/1", "mail/mailboxes"),
        ("services/mail/mailboxes", "mail/mailboxes"),
        ("config/api/cell_config.json", "identity"),
        ("data/unheard-of", "rest"),
        ("", None),
        ("manifest.json", None),
    ],
)
def test_a_member_of_an_archive_belongs_to_a_part(path: str, label: str | None) -> None:
    assert part_at(path, load_layout(None)) == label
