"""How far a job is: percent that never goes back, a rate over a moving window, seconds left."""

import time
from collections import deque
from collections.abc import Callable

from app.archive.relay import Meter
from app.cell.layout import Layout
from app.jobs.records import Progress

_WINDOW = 10.0
_LEAST = 1.0  # seconds; a rate over less says how full a buffer was
_MOST_BEFORE_THE_END = 99.0


class ProgressReport:
    """Turn a meter's counts into progress; `total` is bytes of contents, `estimated` marks a guessed one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total: int | None = None
        self.estimated = True
        self._clock = clock
        self._percent = 0.0
        self._moved = False
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])

    def of(self, meter: Meter, *, current: str | None = None, ended: bool = False) -> Progress:
        """Give the progress as it is now; 100 percent only where the job has `ended` well."""
        done, files = meter.bytes, meter.files
        rate = self._rate(done)
        if ended:
            return Progress(percent=100.0, bytes_done=done, bytes_total=done, estimated=False, files_done=files)
        if self.total:
            self._percent = max(self._percent, min(_MOST_BEFORE_THE_END, 100 * done / self.total))
        # files grow while they are read, and then the total was a guess all the same
        overtaken = self.total is not None and done > self.total
        return Progress(
            percent=round(self._percent, 1),
            bytes_done=done,
            bytes_total=done if overtaken else self.total,
            estimated=self.estimated or overtaken,
            files_done=files,
            current=current,
            rate=rate,
            eta_seconds=(self.total - done) / rate if self.total is not None and rate and not overtaken else None,
        )

    def _rate(self, done: int) -> float | None:
        """Give bytes a second over the last seconds in which something was read; None where that is too short.

        The window begins when bytes begin to move: a job waits for its turn, counts and asks containers before, and
        may stand still for long, none of which says how fast it reads.
        """
        now = self._clock()
        if done == self._seen[0][1]:
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        if done == before:
            return 0.0 if self._moved else None
        self._moved = True
        return (done - before) / (now - since) if now - since >= _LEAST else None


def part_at(path: str, layout: Layout) -> str | None:
    """Name the component or volume that a member of an archive belongs to, as its label; None for the archive's own."""
    if path.startswith("services/"):
        return "/".join(path.split("/")[1:3])
    return layout.component_of(path)
