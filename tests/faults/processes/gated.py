"""A worker that stops itself where a test wants it; FAULT_GATE names the folder of its gate.

Where the gate's file `wanted` names the stage that begins, as `kind:stage`, the first worker that comes there renames
the file to `reached`, with its process id in it, and stops itself as SIGSTOP does; what happens then is said from
outside. The file `last` has the stage that began last. Those of a safety archive are `restore:safety/<stage>`.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import workers.main
from workers.restoring.safety import LABEL
from workers.running import JobRun

GATE = "FAULT_GATE"
WANTED = "wanted"
REACHED = "reached"
LAST = "last"


def place_of(run: JobRun, stage: str) -> str:
    """Name the stage of a job, and the kind of the job."""
    request = run.job.request
    if run.job.kind == "restore" and request.get("label") == LABEL:
        return f"restore:safety/{stage}"
    kind = "dry run" if request.get("dry_run") else run.job.kind
    return f"{kind}:{stage}"


def stand_still(gate: Path, place: str) -> None:
    """Stop this process if that is wanted here."""
    try:
        if (gate / WANTED).read_text() != place:
            return
        mine = gate / str(os.getpid())
        (gate / WANTED).rename(mine)
    except FileNotFoundError:
        return
    mine.write_text(str(os.getpid()))
    mine.rename(gate / REACHED)
    os.kill(os.getpid(), signal.SIGSTOP)


def main() -> int:
    gate = Path(os.environ[GATE])
    stage = JobRun.stage

    @contextmanager
    def gated(self: JobRun, name: str) -> Iterator[None]:
        with stage(self, name):
            (gate / LAST).write_text(place_of(self, name))
            stand_still(gate, place_of(self, name))
            yield

    JobRun.stage = gated  # type: ignore[method-assign]  # the one thing that is not as in `cell-backup worker`
    return workers.main.main()


if __name__ == "__main__":
    sys.exit(main())
