"""Proves an archive whole: every chunk, the gzip checksum, the tar structure, every SHA-256, its own documents."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from app.archive.comparing import compare, mismatch
from app.archive.guard import OWN, Guard, Limits, area_of, is_cell_file, never, normal_name
from app.archive.headers import DIRECTORY, HARD_LINK, MalformedTarError, Member
from app.archive.manifest import (
    HEADER_NAME,
    MANIFEST_NAME,
    MAX_DOCUMENT,
    SUMS_NAME,
    Header,
    Manifest,
    load_header,
    load_manifest,
)
from app.archive.parts import PartOutcome, PartResult
from app.archive.pinned import PinnedFile
from app.archive.plain_volumes import PlainVolumes, Stretch
from app.archive.reader import ReadMember, TarReader, tar_stream_ahead
from app.archive.receiving import Receiver, Taking
from app.archive.relay import Meter
from app.archive.shown import fit_for_people, printable, readable
from app.archive.sparse import SparseHash, is_sparse, sparse_hash
from app.archive.sums import SumsSpool, line
from app.archive.typical_proof import prove_typical
from app.errors import ArchiveError, Code

Misfits = frozenset[bytes]
Plain = Mapping[bytes, Stretch]

LIMITS = Limits()
_MAX_HEADER = 4 << 20
_MAX_VALUES = 150_000
_MAX_MISFITS = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    """Say what a whole archive holds; a cell's own `make backup` writes neither `header` nor `manifest`.

    `misfits` are the sparse members, by their normal names, whose data is not what their map says; `plain` says of
    volumes, by their prefix, that they may be read again without a look at each member.
    """

    members: int
    files: int
    bytes: int
    header: Header | None
    manifest: Manifest | None
    misfits: Misfits = frozenset()
    plain: Plain = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    """Gather what is in an archive; `in_volumes` counts files as the relay does, which wrote the manifest's numbers."""

    misfits: set[bytes] = field(default_factory=set)
    members: int = 0
    files: int = 0
    bytes: int = 0
    header: Header | None = None
    manifest: Manifest | None = None
    sums_seen: bool = False
    unlisted: list[str] = field(default_factory=list)
    in_volumes: dict[str, int] = field(default_factory=dict)

    def count(self, volume: str, files: int = 1) -> None:
        """Count more files of a volume."""
        if self.header is not None and volume:
            self.in_volumes[volume] = self.in_volumes.get(volume, 0) + files


def verify(
    file: BinaryIO,
    *,
    data_key: bytes | None,
    spool_dir: Path | None = None,
    meter: Meter | None = None,
    keep_going: Callable[[], None] = lambda: None,
    receiver: Receiver | None = None,
    limits: Limits = LIMITS,
    may_be_setuid: Callable[[bytes], bool] = never,
) -> Report:
    """Read an archive to its last byte and prove it whole; `keep_going` is called once a piece and may raise.

    The receiver is given the cell's own files on the way, under their normal names, and may use nothing of them before
    this returns. Raises ArchiveError: ARCHIVE_DAMAGED, ARCHIVE_TRUNCATED, ARCHIVE_FOREIGN, ARCHIVE_TOO_NEW,
    ARCHIVE_HOSTILE as `Guard` does, and PASSPHRASE_REQUIRED for an encrypted one without its data key.
    """
    guard = Guard(limits, archive_size=_size_of(file), may_be_setuid=may_be_setuid)
    with closing(SumsSpool(spool_dir)) as sums, closing(tar_stream_ahead(file, data_key)) as pieces:
        return _Reading(guard, sums, meter or Meter(), receiver, keep_going).report(pieces)


def verify_tar(
    pieces: Iterable[bytes],
    *,
    size: int,
    keep_going: Callable[[], None] = lambda: None,
    receiver: Receiver | None = None,
    limits: Limits = LIMITS,
) -> Report:
    """Do what `verify` does with a tar stream that was decompressed already; `size` is that of the archive in bytes."""
    with closing(SumsSpool(None)) as sums:
        return _Reading(Guard(limits, archive_size=size), sums, Meter(), receiver, keep_going).report(pieces)


def _size_of(file: BinaryIO) -> int:
    if isinstance(file, PinnedFile):
        return file.size
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


class _Reading:
    """Read one tar stream: look at each member, hash it, hand it on, hold it against the archive's own documents."""

    def __init__(
        self, guard: Guard, sums: SumsSpool, meter: Meter, receiver: Receiver | None, keep_going: Callable[[], None]
    ) -> None:
        self._guard = guard
        self._sums = sums
        self._meter = meter
        self._receiver = receiver
        self._keep_going = keep_going
        self._found = _Found()
        self._plain_volumes = PlainVolumes()

    def report(self, pieces: Iterable[bytes]) -> Report:
        """Read everything; raises what `verify` raises."""
        found = self._found
        reader = TarReader(self._watched(pieces))
        for read in reader.members():
            self._meter.current = readable(read.member.name)
            files, size = found.files, found.bytes
            try:
                self._member(read, reader)
            except MalformedTarError as error:
                message = f"The tar stream is malformed at {self._meter.current}: {error}."
                raise ArchiveError(Code.ARCHIVE_DAMAGED, message) from error
            found.members += 1
            if self._guard.is_in_volume:
                plain = self._typical(reader)
                grown = (found.files - files, found.bytes - size)
                self._plain_volumes.go_on(self._guard.area, reader.position, *grown, plain=plain)
        _conclude(found)
        header = fit_for_people(found.header) if found.header is not None else None
        manifest = fit_for_people(found.manifest) if found.manifest is not None else None
        volumes, misfits = self._plain_volumes.found, frozenset(found.misfits)
        return Report(found.members, found.files, found.bytes, header, manifest, misfits, volumes)

    def _watched(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._keep_going()
            self._guard.stream(len(piece))
            yield piece

    def _member(self, read: ReadMember, reader: TarReader) -> None:
        found, member = self._found, read.member
        if found.sums_seen or member.name.startswith(OWN):
            _place(found, member)
        name = self._guard.look(read)
        if found.header is not None:
            volume = self._guard.area if self._guard.is_in_volume else b""
            self._plain_volumes.look(member, name, volume, reader.position)
        if member.name == SUMS_NAME:
            found.unlisted = compare(self._sums, reader.data())
            found.sums_seen = True
        elif member.name == HEADER_NAME:
            found.header = load_header(_whole(reader, _MAX_HEADER))
            self._guard.declare(found.header)
        elif member.name == MANIFEST_NAME:
            found.manifest = load_manifest(_whole(reader, MAX_DOCUMENT))
        else:
            taking = self._hand_on(member, name) if self._receiver is not None and is_cell_file(name) else None
            if member.is_file and not member.name.endswith(b"/"):
                found.count(area_of(name).decode("utf-8", "backslashreplace"))
                self._sums.add(self._contents(read, name, reader, taking))

    def _typical(self, reader: TarReader) -> bool:
        """Prove the files that follow in the same folder, as far as they go the short way; tell if they are plain."""
        for _ in reader.data():
            pass
        buffer, at = reader.at_hand
        found, proven = self._found, prove_typical(buffer, at, self._guard, self._sums)
        if proven.files:
            reader.went_past(proven.last, proven.after)
            found.members += proven.files
            found.files += proven.files
            found.bytes += proven.bytes
            found.count(self._guard.area.decode("utf-8", "backslashreplace"), proven.files)
            self._meter.files += proven.files
            self._meter.bytes += proven.bytes
            self._meter.current = readable(proven.last)
        return proven.plain

    def _hand_on(self, member: Member, name: bytes) -> Taking | None:
        assert self._receiver is not None
        link = normal_name(member.link) if member.kind == HARD_LINK else member.link
        kind = DIRECTORY if member.name.endswith(b"/") else member.kind
        return self._receiver.take(replace(member, name=name, link=link, kind=kind))

    def _contents(self, read: ReadMember, name: bytes, reader: TarReader, taking: Taking | None) -> bytes:
        """Give the checksum line that the member's contents deserve."""
        member = read.member
        self._found.files += 1
        self._meter.files += 1
        self._found.bytes += member.size
        sparse = sparse_hash(read.block, read.extensions, member.records) if is_sparse(member) else None
        digest = self._sparse(sparse, reader, taking) if sparse else self._plain(reader, taking)
        if digest is None:
            self._found.misfits.add(name)
            if len(self._found.misfits) > _MAX_MISFITS:
                raise mismatch(self._meter.current)
            if taking is not None:
                taking.damaged()
            return line("damaged", member.name)
        if taking is not None:
            taking.close(sparse.size if sparse else member.size, digest)
        return line(digest, member.name)

    def _plain(self, reader: TarReader, taking: Taking | None) -> str:
        digest, at = hashlib.sha256(), 0
        for piece in reader.data():
            digest.update(piece)
            if taking is not None:
                taking.write(at, piece)
            at += len(piece)
            self._meter.bytes += len(piece)
        return digest.hexdigest()

    def _sparse(self, sparse: SparseHash, reader: TarReader, taking: Taking | None) -> str | None:
        """Give the digest of a sparse member's expanded contents; None where its data does not fit its map."""
        sparse.keep_going = self._keep_going
        sparse.give = taking.write if taking is not None else None
        fits = True
        for piece in reader.data():
            self._meter.bytes += len(piece)
            try:
                if fits:
                    sparse.update(piece)
            except MalformedTarError:
                fits = False
        try:
            return sparse.hexdigest() if fits else None
        except MalformedTarError:
            return None


def _place(found: _Found, member: Member) -> None:
    """Refuse a member that stands where it may not: header first, checksums and manifest last."""
    if found.manifest is not None:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "Something follows the manifest, which comes last.")
    if member.name.startswith(OWN + b"/"):
        expected = HEADER_NAME if not found.members else SUMS_NAME if not found.sums_seen else MANIFEST_NAME
        if member.name != expected or not member.is_file or (found.members and found.header is None):
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "The archive's own members are not in their order.")
    elif found.sums_seen:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "Something follows the checksums that is not the manifest.")


def _whole(reader: TarReader, limit: int) -> bytes:
    out = bytearray()
    for piece in reader.data():
        out += piece
        if len(out) > limit:
            message = f"One of the archive's own documents is longer than {limit >> 20} MiB."
            raise ArchiveError(Code.ARCHIVE_HOSTILE, message)
    # each value that does not fit costs half a KiB of explanation, which nobody reads
    if out.count(b",") > _MAX_VALUES:
        raise ArchiveError(Code.ARCHIVE_HOSTILE, "One of the archive's own documents holds too many values.")
    return bytes(out)


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
    for result in manifest.parts:
        _check_count(found, result)
    known = {path for result in manifest.parts for path in result.damaged}
    unknown = [path for path in found.unlisted if path not in known]
    if unknown:
        raise mismatch(unknown[0])


def _check_count(found: _Found, result: PartResult) -> None:
    """Refuse a volume that its part calls saved and that is not there, or not with as many files."""
    if result.part.service is None or result.outcome is not PartOutcome.SUCCEEDED:
        return
    there = found.in_volumes.get(result.part.prefix.rstrip("/"), 0)
    if there != result.files:
        shown = printable(result.part.label[:200])
        message = f"{shown} has {there} files in the archive, and {result.files} by its manifest."
        raise ArchiveError(Code.ARCHIVE_DAMAGED, message)
