"""The instance key: a file in the state directory that API and worker share and nobody else reads."""

import hashlib
import hmac
from pathlib import Path

from cryptography.fernet import Fernet

from app.jobs.state_dir import private_file, unusable

NAME = "instance.key"


def load_instance_key(state_dir: Path) -> Fernet:
    """Read the key, made at first use; raise InputError(INVALID_SETTING) for a file that is not ours alone."""
    try:
        return Fernet(_content(state_dir))
    except ValueError as error:
        hint = "Remove the file; jobs that wait with a passphrase then fail."
        raise unusable(state_dir / NAME, "holds no key", hint=hint) from error


def digest_under_key(state_dir: Path, meaning: str, content: bytes) -> str:
    """Give a digest in which nobody finds a passphrase by guessing, who has not the instance key.

    `meaning` keeps the digests of different things apart. Blocks. Raises as `load_instance_key` does.
    """
    return hmac.digest(_content(state_dir), meaning.encode() + b"\0" + content, hashlib.sha256).hex()


def _content(state_dir: Path) -> bytes:
    return private_file(state_dir / NAME, Fernet.generate_key)
