"""Signatures after the Standard Webhooks convention, version 1: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

_PREFIX = "whsec_"
_LEAST_BYTES = 24  # the convention's own bound
_LONGEST = 512


class UnfitSecretError(ValueError):
    """Say why a text cannot sign webhooks, without the text."""


def key_of(secret: str) -> bytes:
    """Give the key that a secret stands for: `whsec_` and base64, else the text itself as UTF-8.

    Raise UnfitSecretError where it is too short, too long, or no base64.
    """
    if len(secret) > _LONGEST:
        raise UnfitSecretError(f"The webhook secret is longer than {_LONGEST} characters.")
    key = _decoded(secret.removeprefix(_PREFIX)) if secret.startswith(_PREFIX) else _encoded(secret)
    if len(key) < _LEAST_BYTES:
        raise UnfitSecretError(f"The webhook secret has {len(key)} bytes; it needs {_LEAST_BYTES}.")
    return key


def signed_headers(key: bytes, message_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
    """Give the three headers that tell a receiver who sent the body, and when."""
    timestamp = str(int(at.timestamp()))
    digest = hmac.digest(key, b".".join((message_id.encode(), timestamp.encode(), body)), hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UnfitSecretError("What follows 'whsec_' in the webhook secret is not base64.") from None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UnfitSecretError("The webhook secret is not valid text.") from None
