"""The first line of an encrypted archive: who can open it.

    {"format":"cell-backup","version":1,"id":"<32 hex>","chunk":1048576,"slots":[
        {"kdf":"scrypt","n":131072,"r":8,"p":1,"salt":"<base64>","key":"<Fernet token>"}]}

A random data key encrypts the content. Each slot holds it as a Fernet token under the key that scrypt derives from a
passphrase, so a wrong passphrase is known at once and is never confused with damage.
"""

import base64
import json
import os
import unicodedata
from dataclasses import dataclass, replace
from typing import Annotated, BinaryIO, Literal

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import ArchiveError, Code, InputError

FORMAT = "cell-backup"
VERSION = 1
CHUNK = 1 << 20
MAX_LINE = 64 * 1024
_MAX_CHUNK = 16 << 20
_MAX_COST = 2**20
_MAX_MEMORY = 1 << 30
_COSTS = {"n", "r", "p"}
_EXCESSIVE = "The archive asks for an excessive key derivation."


class Slot(BaseModel):
    """Hold the data key under one passphrase; the bounds keep a crafted archive from eating memory or hours."""

    model_config = ConfigDict(frozen=True, strict=True)

    kdf: Literal["scrypt"]
    n: Annotated[int, Field(ge=2, le=_MAX_COST)]
    r: Annotated[int, Field(ge=1, le=64)]
    p: Annotated[int, Field(ge=1, le=16)]
    salt: Annotated[str, Field(min_length=1, max_length=256)]
    key: Annotated[str, Field(pattern="^[A-Za-z0-9_=-]{1,1024}$")]

    def wrapping_key(self, passphrase: str) -> Fernet:
        """Derive the key that wraps the data key; ArchiveError ARCHIVE_HOSTILE where that costs too much."""
        if 128 * self.r * self.n > _MAX_MEMORY or self.n & (self.n - 1):
            raise ArchiveError(Code.ARCHIVE_HOSTILE, _EXCESSIVE)
        try:
            salt = base64.b64decode(self.salt, validate=True)
        except ValueError as error:
            raise ArchiveError(Code.ARCHIVE_DAMAGED, "A key slot of the archive is damaged.") from error
        secret = normalised(passphrase)
        try:
            derived = Scrypt(salt=salt, length=32, n=self.n, r=self.r, p=self.p).derive(secret)
        except MemoryError as error:  # too little of it, or an n that OpenSSL does not take with this r
            raise ArchiveError(Code.ARCHIVE_HOSTILE, "The archive's key derivation cannot be done here.") from error
        return Fernet(base64.urlsafe_b64encode(derived))


class _Line(BaseModel):
    model_config = ConfigDict(strict=True)

    format: Literal["cell-backup"]
    version: Annotated[int, Field(ge=1, le=VERSION)]
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    chunk: Annotated[int, Field(ge=1, le=_MAX_CHUNK)]
    slots: Annotated[list[Slot], Field(min_length=1, max_length=16)]


_LINE = TypeAdapter(_Line)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Describe an encrypted archive: its id (16 bytes), its chunk size in bytes, its key slots."""

    archive_id: bytes
    slots: tuple[Slot, ...]
    chunk: int = CHUNK

    def to_line(self) -> str:
        """Write the first line, without its line break."""
        line = {
            "format": FORMAT,
            "version": VERSION,
            "id": self.archive_id.hex(),
            "chunk": self.chunk,
            "slots": [slot.model_dump() for slot in self.slots],
        }
        return json.dumps(line, separators=(",", ":"))

    def open(self, passphrase: str) -> bytes:
        """Give the data key, after 0.3 s of scrypt a slot; ArchiveError PASSPHRASE_WRONG where none opens."""
        return self._opened(passphrase)[1]

    def rewrapped(self, old: str, new: str, *, scrypt_n: int) -> "Envelope":
        """Give the envelope with the slot that `old` opens under `new` instead; raises as `open` does."""
        place, data_key = self._opened(old)
        slots = list(self.slots)
        slots[place] = _new_slot(new, data_key, scrypt_n)
        return replace(self, slots=tuple(slots))

    def _opened(self, passphrase: str) -> tuple[int, bytes]:
        for place, slot in enumerate(self.slots):
            try:
                data_key = slot.wrapping_key(passphrase).decrypt(slot.key)
            except InvalidToken:
                continue
            return place, _checked(data_key)
        raise ArchiveError(Code.PASSPHRASE_WRONG, "The passphrase does not open this archive.")


def _checked(data_key: bytes) -> bytes:
    try:
        Fernet(data_key)
    except ValueError as error:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "A key slot of the archive holds no key.") from error
    return data_key


def normalised(passphrase: str) -> bytes:
    """Give the bytes of a passphrase: NFC-normalised UTF-8; InputError PASSPHRASE_REQUIRED where it is empty."""
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError as error:
        raise InputError(Code.INVALID_REQUEST, "The passphrase is not valid Unicode text.") from error
    if not secret:
        raise InputError(Code.PASSPHRASE_REQUIRED, "The passphrase is empty.")
    return secret


def new_envelope(passphrase: str, *, scrypt_n: int) -> tuple[Envelope, bytes]:
    """Make a data key and the envelope that holds it under the passphrase; gives both."""
    data_key = Fernet.generate_key()
    return Envelope(os.urandom(16), (_new_slot(passphrase, data_key, scrypt_n),)), data_key


def _new_slot(passphrase: str, data_key: bytes, scrypt_n: int) -> Slot:
    salt = base64.b64encode(os.urandom(16)).decode()
    empty = Slot(kdf="scrypt", n=scrypt_n, r=8, p=1, salt=salt, key="-")
    return empty.model_copy(update={"key": empty.wrapping_key(passphrase).encrypt(data_key).decode()})


def parse_envelope(line: bytes | str) -> Envelope:
    """Read a first line; ArchiveError ARCHIVE_FOREIGN, ARCHIVE_TOO_NEW or ARCHIVE_DAMAGED."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(Code.ARCHIVE_FOREIGN, "The file does not begin like an encrypted archive.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ArchiveError(Code.ARCHIVE_FOREIGN, "The file does not begin like an encrypted archive.")
    if isinstance(raw.get("version"), int) and raw["version"] > VERSION:
        raise ArchiveError(Code.ARCHIVE_TOO_NEW, f"The archive has format version {raw['version']}.")
    try:
        parsed = _LINE.validate_python(raw)
    except ValidationError as error:
        if any(fault["loc"][-1] in _COSTS and fault["type"] == "less_than_equal" for fault in error.errors()):
            raise ArchiveError(Code.ARCHIVE_HOSTILE, _EXCESSIVE) from error
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "The first line of the archive is damaged.") from error
    return Envelope(bytes.fromhex(parsed.id), tuple(parsed.slots), parsed.chunk)


def read_envelope(file: BinaryIO) -> Envelope:
    """Read the first line of a file and leave the file behind it; raises as `parse_envelope` does."""
    line = file.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise ArchiveError(Code.ARCHIVE_FOREIGN, "The file does not begin like an encrypted archive.")
    return parse_envelope(line)
