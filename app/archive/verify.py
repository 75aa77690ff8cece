"""Proves an archive whole: every chunk, the gzip checksum, the tar structure, every SHA-256, its own documents."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from app.archive import headers
from app.archive.headers import MalformedTarError
from app.archive.manifest import (
    FOLDER,
    HEADER_NAME,
    MANIFEST_NAME,
    MAX_DOCUMENT,
    SUMS_NAME,
    Header,
    Manifest,
    load_header,
    load_manifest,
)
from app.archive.reader import ReadMember, TarReader, tar_stream
from app.archive.relay import Meter
from app.archive.sparse import SparseHash, old_gnu_sparse_hash, sparse_hash
from app.archive.sums import SumsSpool, line
from app.errors import ArchiveError, Code

_MAX_DAMAGED = 100_000
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


@dataclass(frozen=True, slots=True)
class Report:
    """Say what a whole archive holds; a cell's own `make backup` writes neither `header` nor `manifest`."""

    members: int
    files: int
    bytes: int
    header: Header | None
    manifest: Manifest | None


@dataclass(slots=True)
class _Found:
    members: int = 0
    files: int = 0
    bytes: int = 0
    header: Header | None = None
    manifest: Manifest | None = None
    sums_seen: bool = False
    misfits: int = 0
    unlisted: list[str] = field(default_factory=list)


def verify(
    file: BinaryIO,
    *,
    data_key: bytes | None,
    spool_dir: Path | None = None,
    meter: Meter | None = None,
    keep_going: Callable[[], None] = lambda: None,
) -> Report:
    """Read an archive to its last byte and prove it whole; `keep_going` is called once a piece and may raise.

    Raises ArchiveError: ARCHIVE_DAMAGED, ARCHIVE_TRUNCATED, ARCHIVE_FOREIGN, ARCHIVE_TOO_NEW, and
    PASSPHRASE_REQUIRED for an encrypted one without its data key.
    """
    found = _Found()
    meter = meter or Meter()
    reader = TarReader(tar_stream(file, data_key))
    with closing(SumsSpool(spool_dir)) as sums:
        for read in reader.members():
            _place(found, read)
            name = read.member.name
            meter.current = name.decode("utf-8", "backslashreplace")
            if name == SUMS_NAME:
                found.unlisted = _compare(sums, reader.data())
                found.sums_seen = True
            elif name in {HEADER_NAME, MANIFEST_NAME}:
                _document(found, name, _whole(reader))
            elif read.member.is_file and not name.endswith(b"/"):
                sums.add(_hashed(found, meter, read, reader, keep_going))
            found.members += 1
    _conclude(found)
    return Report(found.members, found.files, found.bytes, found.header, found.manifest)


def _place(found: _Found, read: ReadMember) -> None:
    """Refuse a member that stands where it may not: header first, checksums and manifest last."""
    name = read.member.name
    if found.manifest is not None:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "Something follows the manifest, which comes last.")
    if name.startswith(FOLDER.encode()):
        expected = HEADER_NAME if not found.members else SUMS_NAME if not found.sums_seen else MANIFEST_NAME
        if name != expected or not read.member.is_file or (found.members and found.header is None):
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "The archive's own members are not in their order.")
    elif found.sums_seen:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "Something follows the checksums that is not the manifest.")


def _document(found: _Found, name: bytes, raw: bytes) -> None:
    if name == HEADER_NAME:
        found.header = load_header(raw)
    else:
        found.manifest = load_manifest(raw)


def _whole(reader: TarReader) -> bytes:
    out = bytearray()
    for piece in reader.data():
        out += piece
        if len(out) > MAX_DOCUMENT:
            raise ArchiveError(Code.ARCHIVE_HOSTILE, "One of the archive's own documents is longer than 64 MiB.")
    return bytes(out)


def _hashed(found: _Found, meter: Meter, read: ReadMember, reader: TarReader, keep_going: Callable[[], None]) -> bytes:
    """Give the checksum line that the member's contents deserve."""
    member = read.member
    digest = _hasher(read)
    found.files += 1
    meter.files += 1
    whole = True
    for piece in reader.data():
        keep_going()
        try:
            digest.update(piece)
        except MalformedTarError:
            whole = False
        found.bytes += len(piece)
        meter.bytes += len(piece)
    try:
        if whole:
            return line(digest.hexdigest(), member.name)
    except MalformedTarError:
        pass
    found.misfits += 1
    return line("damaged", member.name)


def _hasher(read: ReadMember) -> "hashlib._Hash | SparseHash":
    try:
        if read.member.kind == headers.GNU_SPARSE:
            return old_gnu_sparse_hash(read.block, read.extensions)
        return sparse_hash(read.member.records) or hashlib.sha256()
    except MalformedTarError as error:
        name = read.member.name.decode("utf-8", "backslashreplace")
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"The tar stream is malformed at {name}: {error}.") from error


def _compare(sums: SumsSpool, listed: Iterator[memoryview]) -> list[str]:
    """Compare the lines that the contents deserve with those in the archive; give the members that have no line.

    Raises ArchiveError ARCHIVE_DAMAGED where a line is left over: then a member is missing or its contents changed.
    """
    unlisted: list[str] = []
    deserved = _lines(sums.pieces())
    for expected in _lines(bytes(piece) for piece in listed):
        for ours in deserved:
            if ours == expected:
                break
            unlisted.append(_path_of(ours))
            if len(unlisted) > _MAX_DAMAGED:
                raise _mismatch(unlisted[0])
        else:
            raise _mismatch(_path_of(expected))
    unlisted.extend(_path_of(ours) for ours in islice(deserved, _MAX_DAMAGED + 1))
    if len(unlisted) > _MAX_DAMAGED:
        raise _mismatch(unlisted[0])
    return unlisted


def _mismatch(path: str) -> ArchiveError:
    return ArchiveError(Code.ARCHIVE_DAMAGED, f"{path} does not have the contents that its SHA-256 line says.")


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _path_of(entry: bytes) -> str:
    path = entry.partition(b"  ")[2]
    if entry.startswith(b"\\"):
        path = re.sub(rb"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), path)
    return path.decode("utf-8", "backslashreplace")


def _conclude(found: _Found) -> None:
    if not found.members:
        raise ArchiveError(Code.ARCHIVE_FOREIGN, "The archive is empty.")
    if found.header is None:
        if found.misfits:
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "A sparse member does not have the data that its map says.")
        return
    if found.manifest is None:
        raise ArchiveError(Code.ARCHIVE_TRUNCATED, "The archive has no manifest, which comes last.")
    header, manifest = found.header, found.manifest
    if manifest.backup_id != header.backup_id or [r.part.label for r in manifest.parts] != [
        part.label for part in header.parts
    ]:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "Header and manifest speak of different backups.")
    known = {path for result in manifest.parts for path in result.damaged}
    unknown = [path for path in found.unlisted if path not in known]
    if unknown:
        raise _mismatch(unknown[0])
