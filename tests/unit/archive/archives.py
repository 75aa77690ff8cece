"""Whole archives for tests: written by the real writer, plain or encrypted."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from app.archive.envelope import Envelope, new_envelope
from app.archive.files import Entry
from app.archive.manifest import Header, Manifest, outcome_of
from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.archive.writer import ArchiveWriter, Lock, archive_writer
from app.errors import PartError
from tests.unit.archive.support import PREFIX, Feed, Output, go_on

NOW = datetime(2026, 11, 5, 2, 0, 0, 123456, tzinfo=UTC)
PASSPHRASE = "correct horse battery staple"
CELL = Part(PartKind.COMPONENT, "vault")
VOLUME = Part(PartKind.VOLUME, "mailboxes", service="mail", container="cell-mail", path="/var/mail")
assert VOLUME.prefix == PREFIX


def small_lock(chunk: int = 4096) -> Lock:
    """Make a lock that costs little, with chunks so small that a test's archive has many."""
    envelope, data_key = new_envelope(PASSPHRASE, scrypt_n=2**10)
    return Lock(Envelope(envelope.archive_id, envelope.slots, chunk), data_key)


def header(parts: Sequence[Part] = (CELL, VOLUME)) -> Header:
    return Header("backup-20261105-020000-abcdef", NOW, "home", "cell.example", "1.0", tuple(parts))


def manifest(results: Sequence[PartResult]) -> Manifest:
    return Manifest("backup-20261105-020000-abcdef", NOW, outcome_of(tuple(results)), tuple(results))


def result(part: Part, damaged: Sequence[str] = (), files: int = 0) -> PartResult:
    outcome = PartOutcome.FAILED if damaged else PartOutcome.SUCCEEDED
    return PartResult(part, outcome, files=files, damaged=tuple(damaged))


def entries(root: Path) -> list[Entry]:
    """List everything below a root, parents first, without what no archive of files takes."""
    found = []
    for folder, folders, files in os.walk(root):
        for name in sorted([*folders, *files]):
            path = Path(folder, name)
            status = path.lstat()
            found.append(Entry(str(path.relative_to(root)), status))
    return sorted(found, key=lambda entry: os.fsencode(entry.path).split(b"/"))


def write(
    write: Callable[[bytes], None],
    body: Callable[[ArchiveWriter], Sequence[PartResult]],
    *,
    lock: Lock | None = None,
    spool: Path = Path("/tmp"),
    level: int = 1,
) -> None:
    """Write one whole archive; the body adds the parts and says how they came out."""
    with archive_writer(write, spool, lock=lock, gzip_level=level) as writer:
        writer.begin(header())
        writer.finish(manifest(body(writer)))


def archive_of_volume(stream: bytes, sizes: Sequence[int] = (1 << 30,), lock: Lock | None = None) -> bytes:
    """Make an archive of one volume whose tar stream is given; what goes wrong with it stands in the manifest."""

    def body(writer: ArchiveWriter) -> list[PartResult]:
        relay = writer.relay(PREFIX)
        with suppress(PartError):
            relay.copy(Feed(stream, sizes), go_on)
        relay.close_cut(go_on)
        return [result(CELL), result(VOLUME, relay.damaged, relay.files)]

    output = Output()
    write(output.write, body, lock=lock)
    return bytes(output.data)


def archive_of_files(root: Path, lock: Lock | None = None, damaged: Sequence[str] = ()) -> bytes:
    """Make an archive of the files below a root."""

    def body(writer: ArchiveWriter) -> list[PartResult]:
        members = writer.files(root)
        assert [warning for entry in entries(root) if (warning := members.add(entry))] == []
        return [result(CELL, damaged), result(VOLUME)]

    output = Output()
    write(output.write, body, lock=lock)
    return bytes(output.data)
