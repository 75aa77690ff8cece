"""A new first line for an encrypted archive: the same content under another passphrase."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from app.archive.envelope import Envelope, read_envelope
from app.archive.storage import write_all, writing
from app.catalog.local import write_sidecar
from app.catalog.names import SIDECAR, split_file_name
from app.catalog.reading import reading
from app.catalog.sidecar import load_sidecar
from app.errors import Code, JobError

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """Say what the new file is: bytes and SHA-256."""

    size: int
    sha256: str


def rewrap(path: Path, envelope: Envelope, passphrase: str) -> Rewrapped:
    """Put another first line before the content of an archive, and note the new digest in its sidecar.

    The new file is written beside the old one, proven to open with `passphrase`, and takes its place in one step: after
    a power cut one of both is there. A link is followed. Raises JobError DISK_FULL, WRITE_FAILED, or PLAN_CONFLICT
    where the archive was replaced meanwhile.
    """
    path = path.resolve()
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with reading(path), path.open("rb") as old:
            before = os.fstat(old.fileno())
            if read_envelope(old).archive_id != envelope.archive_id:
                raise _replaced(path)
            done = _write(partial, envelope, old)
        with partial.open("rb") as written:
            read_envelope(written).open(passphrase)
        with writing():
            os.utime(partial, ns=(before.st_atime_ns, before.st_mtime_ns))
            now = path.stat()
            if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
                raise _replaced(path)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _note(path, done)
    return done


def _replaced(path: Path) -> JobError:
    return JobError(Code.PLAN_CONFLICT, f"{path} was replaced meanwhile.", hint="Nothing was changed; do it again.")


def _write(partial: Path, envelope: Envelope, old: BinaryIO) -> Rewrapped:
    """Write the new first line and what follows the old one, on disk when this returns; owner as before."""
    digest, size = hashlib.sha256(), 0
    with writing():
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for piece in _pieces(envelope, old):
            write_all(file, piece)
            digest.update(piece)
            size += len(piece)
        with writing():
            if os.geteuid() == 0:
                owner = os.fstat(old.fileno())
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fsync(descriptor)
    return Rewrapped(size, digest.hexdigest())


def _pieces(envelope: Envelope, old: BinaryIO) -> Iterator[bytes]:
    yield envelope.to_line().encode() + b"\n"
    while piece := old.read(_PIECE):
        yield piece


def _note(path: Path, done: Rewrapped) -> None:
    """Note size and digest in the sidecar, if the archive has one."""
    told = split_file_name(path.name)
    if told is None:
        return
    sidecar = path.with_name(told[0] + SIDECAR)
    if not sidecar.exists():
        return
    with reading(sidecar):
        entry = load_sidecar(sidecar.read_bytes())
    if entry is not None and entry.file_name == path.name:
        write_sidecar(sidecar, replace(entry, size=done.size, sha256=done.sha256))
