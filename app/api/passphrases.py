"""Passphrases: taken in, used once in a thread, and never shown or kept."""

import asyncio
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

from app.api.resources import Resources
from app.archive.envelope import Envelope, new_envelope, read_envelope
from app.catalog.base import Entry
from app.errors import Code, InputError

MAX_LENGTH = 1024


def _given(secret: SecretStr | None) -> SecretStr:
    # null is refused: it would quietly make a plain archive for a client whose variable was not set
    if secret is None or not 1 <= len(secret.get_secret_value()) <= MAX_LENGTH:
        raise ValueError(f"must be a text of 1 to {MAX_LENGTH} characters; leave it out where there is none")
    return secret


Passphrase = Annotated[
    SecretStr | None,
    AfterValidator(_given),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "format": "password", "writeOnly": True}
    ),
    Field(description="Never kept and never shown.", examples=["correct horse battery"]),
]


class Unlocking(BaseModel):
    """Open an encrypted archive."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"passphrase": "correct horse battery"}})

    passphrase: Passphrase = None


async def lock(given: Resources, passphrase: SecretStr) -> tuple[Envelope, bytes]:
    """Make the envelope of a new archive and its data key."""
    async with given.derivation:
        return await asyncio.to_thread(new_envelope, passphrase.get_secret_value(), scrypt_n=given.settings.scrypt_n)


async def unlock(given: Resources, entry: Entry, passphrase: SecretStr | None) -> bytes | None:
    """Give the data key of an archive, None for a plain one.

    Raises InputError PASSPHRASE_REQUIRED or PASSPHRASE_UNEXPECTED, ArchiveError PASSPHRASE_WRONG or what is wrong with
    the archive's first line.
    """
    if not entry.encrypted:
        if passphrase is not None:
            raise InputError(Code.PASSPHRASE_UNEXPECTED, f"'{entry.backup_id}' is a plain archive.")
        return None
    if passphrase is None:
        raise InputError(Code.PASSPHRASE_REQUIRED, f"'{entry.backup_id}' is encrypted.")
    async with given.derivation:
        return await asyncio.to_thread(_open, given, entry, passphrase.get_secret_value())


def _open(given: Resources, entry: Entry, passphrase: str) -> bytes:
    with given.store.open(entry.backup_id) as file:
        envelope = read_envelope(file)
    return envelope.open(passphrase)
