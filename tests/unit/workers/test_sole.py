"""The lock of who works on the cell, and who is killed for it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from app.errors import Code, JobError
from workers.sole import Holder, _end_outdated, _namespace, _open, _say, _started, working

ROOT = Path(__file__).parents[3]
HOLDER = """
import asyncio, sys
from pathlib import Path
from workers.sole import working

async def main() -> None:
    fence = int(sys.argv[2]) or None
    async with working(Path(sys.argv[1]), fence=fence):
        print("holds", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def hold(state: Path, fence: int) -> "subprocess.Popen[bytes]":
    """Run a process that holds the lock; fence 0 is one of the command line."""
    command = [sys.executable, "-c", HOLDER, str(state), str(fence)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"holds\n"
    return process


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process that has nothing to do with it."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


async def test_a_stopped_worker_whose_lease_is_older_is_killed(tmp_path: Path) -> None:
    process = hold(tmp_path, 3)
    try:
        process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(30), working(tmp_path, fence=4):
            assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
    finally:
        end(process)


@pytest.mark.parametrize("fence", [0, 4, 5], ids=["command line", "same lease", "newer lease"])
async def test_nobody_else_is_killed_for_the_lock(tmp_path: Path, fence: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.sole._GRACE", 0.0)
    looks: list[int] = []

    def looked(descriptor: int, own: int) -> None:
        looks.append(own)
        _end_outdated(descriptor, own)

    monkeypatch.setattr("workers.sole._end_outdated", looked)
    process = hold(tmp_path, fence)
    waiting = asyncio.create_task(_take(tmp_path, 4))
    try:
        while len(looks) < 3:
            await asyncio.wait({waiting}, timeout=0.05)
        assert process.poll() is None
        assert not waiting.done()
    finally:
        end(process)
    async with asyncio.timeout(30):
        await waiting


async def _take(state: Path, fence: int) -> None:
    async with working(state, fence=fence):
        pass


@pytest.mark.parametrize("wrong", ["started", "namespace"])
def test_a_process_that_only_has_the_same_number_is_not_killed(
    tmp_path: Path, bystander: "subprocess.Popen[bytes]", wrong: str
) -> None:
    named = Holder(bystander.pid, _started(bystander.pid), _namespace(), 1)
    descriptor = _open(tmp_path)
    try:
        _say(descriptor, Holder(**{**asdict(named), wrong: "another"}))
        _end_outdated(descriptor, 2)
        with pytest.raises(subprocess.TimeoutExpired):
            bystander.wait(0.5)
        _say(descriptor, named)
        _end_outdated(descriptor, 2)
        assert bystander.wait() == -signal.SIGKILL
        _end_outdated(descriptor, 2)  # it is gone
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff"])
def test_a_lock_that_names_nobody_gets_nobody_killed(tmp_path: Path, content: bytes) -> None:
    descriptor = _open(tmp_path)
    try:
        os.pwrite(descriptor, content, 0)
        _end_outdated(descriptor, 9)
    finally:
        os.close(descriptor)


async def test_the_lock_names_the_worker_while_it_works(tmp_path: Path) -> None:
    lock = tmp_path / "working.lock"
    async with working(tmp_path, fence=7):
        me = Holder(os.getpid(), _started(os.getpid()), _namespace(), 7)
        assert json.loads(lock.read_bytes()) == asdict(me)
        with pytest.raises(JobError) as caught:
            async with working(tmp_path, patient=False):
                pass
        assert caught.value.code is Code.CELL_BUSY
    assert lock.read_bytes() == b""
    async with working(tmp_path):
        assert lock.read_bytes() == b""
