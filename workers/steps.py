"""The named steps of a long job: what each one did, how far it is, how it came out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import BackupError
from workers.running import JobRun


class Steps:
    """Write each step into the job's result as it begins, goes on and ends: `steps`, in order."""

    def __init__(self, run: JobRun) -> None:
        self._run = run
        self._list: list[dict[str, Any]] = []
        run.result = {**(run.result or {}), "steps": self._list}

    @property
    def names(self) -> list[str]:
        """Name the steps that have begun."""
        return [str(told["stage"]) for told in self._list]

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Do one step; what the block puts into the dict is told with it."""
        counted = self._run.counted
        files, bytes_, started = counted.files, counted.bytes, time.monotonic()
        told: dict[str, Any] = {"stage": name, "state": "running"}
        self._list.append(told)
        state = "failed"
        try:
            with self._run.stage(name):
                yield told
            state = "succeeded"
        except BackupError as error:
            told["error"] = {"code": error.code, "message": error.message, "hint": error.hint}
            raise
        finally:
            now = self._run.counted
            read = {"files": now.files - files, "bytes": now.bytes - bytes_}
            told.update({"seconds": round(time.monotonic() - started, 3)} | {k: v for k, v in read.items() if v})
            told["state"] = told["state"] if told["state"] != "running" else state
