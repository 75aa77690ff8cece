"""Telling what has been so for a while from what only looks so for a moment."""

from collections.abc import Callable, Hashable
from time import monotonic


class Sightings:
    """Tell once the same thing was seen at every look for `enough` seconds.

    A look that comes more than `late` seconds after the one before it begins anew: meanwhile Redis was away, or this
    process was stopped, and others need the same time to come back.
    """

    def __init__(self, *, enough: float, late: float, clock: Callable[[], float] = monotonic) -> None:
        self._enough = enough
        self._late = late
        self._clock = clock
        self._what: Hashable | None = None
        self._since = 0.0
        self._last = 0.0

    def see(self, what: Hashable | None) -> bool:
        """Note what a look showed, None for nothing; True where it has been so for long enough."""
        now = self._clock()
        if what is None or what != self._what or now - self._last > self._late:
            self._since = now
        self._what, self._last = what, now
        return what is not None and now - self._since >= self._enough

    def forget(self) -> None:
        """Begin anew: a look failed."""
        self._what = None
