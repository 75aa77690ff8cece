"""Kills a restore, or the recovery of one, at the k-th journal note or file-system call, and says what is left.

Run as a program of one thread, so that each attempt is a forked process of its own that really dies by SIGKILL:
`python -m tests.unit.cell.restoring.killing notes|calls|renames|recovery OLD ARCHIVE SCRATCH` prints one JSON object.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.cell.restoring import workspace
from app.cell.restoring.workspace import unfinished
from tests.support.trees import Tree, describe, differences
from tests.unit.cell.restoring.support import restore

# everything that changes a file system or says that a change is to last
CALLS = (
    *("rename", "link", "symlink", "mkdir", "rmdir", "unlink", "utime"),
    *("fchmod", "fchown", "chown", "setxattr", "removexattr", "pwrite", "ftruncate", "fsync"),
)
_HERE = b".cell-backup"


class Countdown:
    """Count, and kill this process before the k-th time; with None it only counts."""

    def __init__(self, at: int | None) -> None:
        self.count = 0
        self._at = at

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self()
            return call(*args, **kwargs)

        return counted


def in_a_process(work: Callable[[Countdown], None], kill_at: int | None, *, calls: bool) -> tuple[bool, int]:
    """Do the work in a process that is killed; say whether it died, and how far it counted where it lived."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            countdown = Countdown(kill_at)
            # a killed process loses nothing that it wrote, so nothing need reach the disk here
            for module, name in ((workspace, "sync"), (os, "fsync")):
                setattr(module, name, lambda _: None)
            if calls:
                for name in CALLS:
                    setattr(os, name, countdown.before(getattr(os, name)))
            work(countdown)
            os.write(writing, str(countdown.count).encode())
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(3)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        count = file.read()
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True, 0
    assert os.WEXITSTATUS(status) == 0
    return False, int(count)


def only_in_one_folder(link: Callable[..., None]) -> Callable[..., None]:
    """Refuse second names for the cell's files, as kernels do for those of somebody else; they are renamed then."""

    def linking(*args: Any, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool) -> None:
        if src_dir_fd != dst_dir_fd:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        link(*args, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)

    return linking


class Loop:
    """Hold the two states between which nothing may be, and a cell to try it on."""

    def __init__(self, old: Path, archive: bytes, scratch: Path) -> None:
        self._old, self._archive, self._scratch = old, archive, scratch
        self.root = scratch / "cell"
        self.left = Counter[str]()
        self._copy(old, self.root)
        self._before = describe(self.root)
        restore(self.root, archive)
        self._after = describe(self.root)
        assert self._differences(self._before, self._after)
        self._copy(old, self.root)

    def kill_restore(self, kill_at: int | None, *, calls: bool) -> bool:
        def work(countdown: Countdown) -> None:
            restore(self.root, self._archive, **({} if calls else {"on_note": countdown}))  # type: ignore[arg-type] # one or none

        died, self.counted = in_a_process(work, kill_at, calls=calls)
        return died

    def recover(self, kill_at: int | None = None) -> bool:
        died, self.counted = in_a_process(lambda _: _recover(self.root), kill_at, calls=True)
        return died

    def judge(self) -> None:
        """Count the state that the cell is in; AssertionError where it is neither."""
        now = describe(self.root)
        old, new = self._differences(self._before, now), self._differences(self._after, now)
        assert not old or not new, f"in between:\n{old}\n{new}"
        assert not [path for path in now if path.startswith(_HERE)]
        self.left["new" if old else "old"] += 1
        if not old and now[b"."].mtime != self._before[b"."].mtime:
            self.left["lost time of the root"] += 1
        if old or now[b"."].mtime != self._before[b"."].mtime:
            self._copy(self._old, self.root)

    def keep(self) -> Path:
        kept = self._scratch / "kept"
        self._copy(self.root, kept)
        return kept

    def bring(self, kept: Path) -> None:
        self._copy(kept, self.root)

    def _differences(self, one: Tree, other: Tree) -> list[str]:
        # the time of the root is looked at by itself: no process can make a folder in it and put it back at once
        return [line for line in differences(one, other) if not line.startswith("b'.': mtime ")]

    def _copy(self, source: Path, target: Path) -> None:
        subprocess.run(["rm", "-rf", str(target)], check=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def _recover(root: Path) -> None:
    with unfinished(root) as left:
        if left is not None and left.committed:
            left.finish()
        elif left is not None:
            left.roll_back()


def kill_everywhere(loop: Loop, *, calls: bool) -> int:
    kills = 0
    while loop.kill_restore(kills + 1, calls=calls):
        kills += 1
        loop.recover()
        loop.judge()
    return kills


def kill_recoveries(loop: Loop) -> int:
    """Kill the recovery too, at every call, of restores that were killed at their last note and before it."""
    loop.kill_restore(None, calls=False)
    notes = loop.counted
    kills = 0
    for at in (notes, notes - 1):
        loop.bring(loop._old)
        assert loop.kill_restore(at, calls=False)
        kept = loop.keep()
        again = 1
        while loop.recover(again):
            again += 1
            kills += 1
            loop.recover()
            loop.judge()
            loop.bring(kept)
        loop.judge()
    return kills


def main() -> None:
    what, old, archive, scratch = sys.argv[1], *map(Path, sys.argv[2:])
    if what == "renames":
        os.link = only_in_one_folder(os.link)
    loop = Loop(old, archive.read_bytes(), scratch)
    kills = kill_recoveries(loop) if what == "recovery" else kill_everywhere(loop, calls=what != "notes")
    print(json.dumps({"kills": kills, **loop.left}))  # noqa: T201 - a program's result


if __name__ == "__main__":
    main()
