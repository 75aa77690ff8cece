"""A person at a terminal: runs a command on a real pseudo-terminal and answers what it asks."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT = 30.0
_QUESTION = re.compile(rb"pass(phrase|word)[^\n]*: ?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Session:
    """Hold how a command ended, what it wrote to standard output (a file), and what stood on the screen."""

    code: int
    output: bytes
    screen: str


def answer_on_terminal(
    command: Sequence[str | Path], answer: str | Sequence[str], *, environment: Mapping[str, str], directory: Path
) -> Session:
    """Run the command with terminal and question on a pseudo-terminal, its standard output in a file."""
    output = directory / "terminal.output"
    with ExitStack() as undo:
        ours, theirs = pty.openpty()
        undo.callback(os.close, ours)
        try:
            file = undo.enter_context(output.open("wb"))
            # a session of its own, so that the terminal of whoever runs the tests is not asked
            process = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=file,
                stderr=theirs,
                env=environment,
                cwd=directory,
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        undo.enter_context(process)
        undo.callback(process.kill)
        screen = _converse(ours, [answer] if isinstance(answer, str) else answer, LIMIT)
        code = process.wait(LIMIT)
    return Session(code, output.read_bytes(), screen.decode(errors="replace"))


def all_on_terminal(command: Sequence[str | Path], answers: Sequence[str], *, limit: float) -> Session:
    """Run the command with nothing but the pseudo-terminal; what it writes stands on the screen."""
    with ExitStack() as undo:
        ours, theirs = pty.openpty()
        undo.callback(os.close, ours)
        try:
            process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        finally:
            os.close(theirs)
        undo.enter_context(process)
        undo.callback(process.kill)
        screen = _converse(ours, answers, limit)
        code = process.wait(LIMIT)
    return Session(code, b"", screen.decode(errors="replace"))


def _converse(terminal: int, answers: Sequence[str], limit: float) -> bytes:
    """Type each answer once its question stands there (what is typed before is thrown away), and read to the end."""
    screen, left = b"", list(answers)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if not ready:
            continue
        piece = b""
        with suppress(OSError):  # how Linux says that nobody has the other end open any more
            piece = os.read(terminal, 4096)
        if not piece:
            return screen
        screen += piece
        if left and _QUESTION.search(screen):
            os.write(terminal, left.pop(0).encode() + b"\n")
    raise AssertionError(f"the command is still there after {limit} s: {screen!r}")
