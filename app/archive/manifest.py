"""The archive's own members: header.json first, SHA256SUMS and manifest.json last."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from app.archive.parts import Part, PartOutcome, PartResult
from app.errors import ArchiveError, Code

FORMAT_VERSION = 1
FOLDER = ".cell-backup/"
HEADER_NAME = b".cell-backup/header.json"
SUMS_NAME = b".cell-backup/SHA256SUMS"
MANIFEST_NAME = b".cell-backup/manifest.json"
MAX_DOCUMENT = 64 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """Open an archive: whose it is, when and by what it was made, what follows; `version` is the format's."""

    backup_id: str
    created_at: datetime
    cell_name: str | None
    domain: str | None
    service_version: str
    parts: tuple[Part, ...]
    format: Literal["cell-backup"] = "cell-backup"
    version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class Manifest:
    """Close an archive: how each part came out; a part that is named here as failed must not be trusted."""

    backup_id: str
    finished_at: datetime
    outcome: Literal["succeeded", "partial"]
    parts: tuple[PartResult, ...]
    format: Literal["cell-backup"] = "cell-backup"
    version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class _Versioned:
    version: int


_VERSIONED = TypeAdapter(_Versioned)
_HEADER = TypeAdapter(Header)
_MANIFEST = TypeAdapter(Manifest)
_Document = TypeVar("_Document", Header, Manifest)


def outcome_of(results: tuple[PartResult, ...]) -> Literal["succeeded", "partial"]:
    """Say what the parts make of the whole: `partial` where one is not saved or not left as it was found."""
    bad = any(result.outcome is not PartOutcome.SUCCEEDED or result.error is not None for result in results)
    return "partial" if bad else "succeeded"


def dump_header(header: Header) -> bytes:
    """Write header.json."""
    return _HEADER.dump_json(header, indent=1) + b"\n"


def dump_manifest(manifest: Manifest) -> bytes:
    """Write manifest.json."""
    return _MANIFEST.dump_json(manifest, indent=1) + b"\n"


def load_header(raw: bytes) -> Header:
    """Read header.json; ArchiveError ARCHIVE_TOO_NEW or ARCHIVE_DAMAGED."""
    return _load(_HEADER, raw, "header.json")


def load_manifest(raw: bytes) -> Manifest:
    """Read manifest.json; ArchiveError ARCHIVE_TOO_NEW or ARCHIVE_DAMAGED."""
    return _load(_MANIFEST, raw, "manifest.json")


def _load(adapter: TypeAdapter[_Document], raw: bytes, name: str) -> _Document:
    try:
        # a newer document may have other fields: its version is looked at before them
        version = _VERSIONED.validate_json(raw).version
        if version > FORMAT_VERSION:
            raise ArchiveError(Code.ARCHIVE_TOO_NEW, f"The archive has format version {version}.")
        document = adapter.validate_json(raw)
    except ValidationError as error:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"The archive's {name} is damaged.") from error
    return document
