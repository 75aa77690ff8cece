"""The audit log: who asked for what, from where, when, and how it ended; a line of JSON each, only ever appended."""

import fcntl
import json
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import dropwhile, islice, pairwise
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter, ValidationError

from app.errors import BackupError, Code, UnavailableError
from app.jobs.state_dir import private_directory

NAME = "audit.log"
_LARGEST = 8 << 20
_KEPT = 4
_LONGEST_TEXT = 300
_BLOCK = 64 * 1024
_log = logging.getLogger(__name__)


class AuditEvent(StrEnum):
    """Say what kind of thing happened."""

    REQUEST = "request"
    REFUSED = "refused"
    JOB_ENDED = "job_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Hold one line. `by` names a token, `peer` an address, `what` an operation or the kind of a job.

    `outcome` is the end state of a job, or `done`, `refused` or `failed`, and `code` says why; `count` is how
    often it happened.
    """

    entry_id: str
    at: datetime
    event: AuditEvent
    what: str | None = None
    by: str | None = None
    peer: str | None = None
    target: str | None = None
    job_id: str | None = None
    status: int | None = None
    outcome: str | None = None
    code: str | None = None
    request_id: str | None = None
    count: int = 1


_Entry = TypeAdapter(AuditEntry)


class AuditLog:
    """Keep `<state dir>/audit.log` and its `kept` older parts of `largest` bytes; several processes may write.

    Everything here blocks.
    """

    def __init__(self, state_dir: Path, *, largest: int = _LARGEST, kept: int = _KEPT) -> None:
        self._path = state_dir / NAME
        self._largest = largest
        self._kept = kept

    def write(
        self,
        event: AuditEvent,
        *,
        what: str | None = None,
        by: str | None = None,
        peer: str | None = None,
        target: str | None = None,
        job_id: str | None = None,
        status: int | None = None,
        outcome: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        count: int = 1,
        now: datetime | None = None,
    ) -> None:
        """Append one entry, on disk when this returns; never give it a secret or a body.

        One that cannot be written goes to the service's log whole: nobody is kept from removing a backup because the
        disk is full.
        """
        entry = AuditEntry(
            entry_id=secrets.token_hex(8),
            at=now or datetime.now(UTC),
            event=event,
            what=what,
            by=by,
            peer=_short(peer),
            target=_short(target),
            job_id=_short(job_id),
            status=status,
            outcome=outcome,
            code=code,
            request_id=request_id,
            count=count,
        )
        line = _line(entry)
        try:
            self._append(line)
        except BackupError as error:
            _log.error("%s The entry is: %s", error.message, line.decode().strip())

    def read(self, *, limit: int, before: str | None = None) -> list[AuditEntry]:
        """Give entries, newest first; those older than the one with the id `before`, none where that is gone.

        Raises UnavailableError FILE_UNREADABLE.
        """
        try:
            with ExitStack() as stack:
                lines = (line for file in self._opened(stack) for line in _lines_backwards(file))
                return list(islice(_parsed(lines if before is None else _older(lines, before)), limit))
        except OSError as error:
            message = f"{self._path} cannot be read: {error.strerror}."
            raise UnavailableError(Code.FILE_UNREADABLE, message) from error

    def _append(self, line: bytes) -> None:
        private_directory(self._path.parent)
        try:
            self._turn_over(len(line))
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o600)
            try:
                _append_whole(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            message = f"{self._path} cannot be written: {error.strerror}."
            raise UnavailableError(Code.WRITE_FAILED, message) from error

    def _turn_over(self, coming: int) -> None:
        """Move a log that is full away, and the oldest part out; never wait for a process that is at it, or stopped."""
        if not self._full(coming):
            return
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._full(coming):  # nobody else has done it meanwhile
                parts = self._parts()
                for newer, older in reversed(list(pairwise(parts))):
                    with suppress(FileNotFoundError):
                        newer.replace(older)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)

    def _full(self, coming: int) -> bool:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return False
        return size > 0 and size + coming > self._largest

    def _parts(self) -> list[Path]:
        return [self._path, *(self._path.with_name(f"{NAME}.{number}") for number in range(1, self._kept + 1))]

    def _opened(self, stack: ExitStack) -> list[BinaryIO]:
        """Open every part, newest first, each once: one that is moved on meanwhile is found a second time."""
        opened: dict[tuple[int, int], BinaryIO] = {}
        for path in self._parts():
            with suppress(FileNotFoundError):
                file = stack.enter_context(path.open("rb"))
                status = os.fstat(file.fileno())
                opened.setdefault((status.st_dev, status.st_ino), file)
        return list(opened.values())


def _append_whole(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line  # what a power loss cut off stays a line of its own; an empty line is nothing
    written = os.write(descriptor, line)
    if written < len(line):
        raise OSError(0, "the disk took only a part of the line")
    os.fsync(descriptor)


def _line(entry: AuditEntry) -> bytes:
    given = {name: value for name, value in asdict(entry).items() if value is not None}
    return json.dumps(given | {"at": entry.at.isoformat()}, separators=(",", ":")).encode() + b"\n"


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


def _older(lines: Iterator[bytes], entry_id: str) -> Iterator[bytes]:
    """Pass over all lines up to that of the entry, without looking into them."""
    begin = f'{{"entry_id":"{entry_id}"'.encode()
    return islice(dropwhile(lambda line: not line.startswith(begin), lines), 1, None)


def _parsed(lines: Iterable[bytes]) -> Iterator[AuditEntry]:
    for line in lines:
        try:
            yield _Entry.validate_json(line)
        except ValidationError:
            continue  # cut off by a power loss, or empty


def _lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    """Give the lines of a file from its end."""
    position = file.seek(0, os.SEEK_END)
    rest = b""
    while position:
        step = min(_BLOCK, position)
        position = file.seek(position - step)
        first, *lines = (file.read(step) + rest).split(b"\n")
        yield from reversed(lines)
        rest = first
    yield rest
