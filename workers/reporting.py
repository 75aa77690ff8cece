"""How far a job is: percent that never goes back, a rate over a moving window, seconds left."""

import time
from collections import deque
from collections.abc import Callable

from app.archive.relay import Meter
from app.jobs.records import Progress

_WINDOW = 10.0


class ProgressReport:
    """Turn a meter's counts into progress; `total` is bytes of contents, `estimated` marks a guessed one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total: int | None = None
        self.estimated = True
        self._clock = clock
        self._percent = 0.0
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])

    def of(self, meter: Meter, *, ended: bool = False) -> Progress:
        """Give the progress as it is now; 100 percent only once the job has ended well."""
        now = self._clock()
        done = meter.bytes
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[0][0] < now - _WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (done - before) / (now - since) if now > since else None
        if self.total:
            self._percent = max(self._percent, min(99.0, 100 * done / self.total))
        left = max(self.total - done, 0) if self.total is not None else None
        return Progress(
            percent=100.0 if ended else round(self._percent, 1),
            bytes_done=done,
            bytes_total=self.total,
            estimated=self.estimated,
            files_done=meter.files,
            current=None if ended else (meter.current or None),
            rate=None if ended else rate,
            eta_seconds=left / rate if left is not None and rate and not ended else None,
        )
