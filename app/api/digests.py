"""`Content-Digest` (RFC 9530): what the client says of a body, so that both know that it arrived as it was sent."""

import base64
import binascii
import hmac
import re
from typing import Annotated

from fastapi import Header

from app.errors import ArchiveError, Code, InputError

# one member of a dictionary whose value is a byte sequence (RFC 9651, sections 3.2 and 3.3.5)
_MEMBER = re.compile(r"[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):[ \t]*")
_KNOWN = "sha-256"

ContentDigest = Annotated[
    str | None,
    Header(
        alias="Content-Digest",
        max_length=1000,
        description=(
            "RFC 9530: `sha-256=:<base64>:` of the body. Where it is given, a body that is another one is refused; "
            "digests of other kinds are passed over."
        ),
        examples=["sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:"],
    ),
]


def sha256_of(header: str | None) -> bytes | None:
    """Read the SHA-256 that a header names, None where it names none; InputError INVALID_REQUEST."""
    if header is None:
        return None
    found = None
    for text in header.split(","):
        member = _MEMBER.fullmatch(text)
        if member is None:
            raise _malformed()
        if member[1] == _KNOWN:
            found = _decoded(member[2])
    return found


def _decoded(text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _malformed() from error
    if len(digest) != 32:
        raise _malformed()
    return digest


def _malformed() -> InputError:
    return InputError(Code.INVALID_REQUEST, "header.Content-Digest: must be like 'sha-256=:<base64 of 32 bytes>:'.")


def check_digest(found: bytes, wanted: bytes | None) -> None:
    """Raise ArchiveError ARCHIVE_DAMAGED where something else arrived than was sent."""
    if wanted is not None and not hmac.compare_digest(found, wanted):
        message = "What arrived is not what Content-Digest speaks of."
        raise ArchiveError(Code.ARCHIVE_DAMAGED, message, hint="Send the file again, or compare it with its source.")
