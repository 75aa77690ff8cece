"""What has been so for a while, and what only looked so."""

from app.jobs.sightings import Sightings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def seen(*looks: tuple[float, str | None], enough: float = 15, late: float = 10) -> list[bool]:
    """Look after so many seconds each, and give what each look told."""
    clock = Clock()
    sightings = Sightings(enough=enough, late=late, clock=clock)
    told = []
    for pause, what in looks:
        clock.now += pause
        told.append(sightings.see(what))
    return told


def test_the_same_thing_is_seen_for_long_enough() -> None:
    assert seen((0, "a"), (5, "a"), (5, "a"), (5, "a"), (5, "a")) == [False, False, False, True, True]


def test_one_look_is_not_enough() -> None:
    assert seen((1000, "a")) == [False]


def test_another_thing_begins_anew() -> None:
    assert seen((0, "a"), (9, "b"), (9, "b"), (9, "b")) == [False, False, False, True]


def test_nothing_begins_anew() -> None:
    assert seen((0, "a"), (8, None), (8, "a"), (8, "a"), (8, "a")) == [False, False, False, False, True]


def test_a_look_that_comes_late_begins_anew() -> None:
    assert seen((0, "a"), (300, "a"), (8, "a"), (8, "a")) == [False, False, False, True]


def test_a_look_that_failed_begins_anew() -> None:
    clock = Clock()
    sightings = Sightings(enough=5, late=10, clock=clock)
    sightings.see("a")
    sightings.forget()
    clock.now += 6
    assert not sightings.see("a")
