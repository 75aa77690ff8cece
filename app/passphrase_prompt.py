"""Passphrases on the command line: by prompt or out of a file, never by argument."""

import getpass
import sys
from pathlib import Path
from typing import BinaryIO

from app.archive.envelope import read_envelope
from app.archive.reader import is_encrypted
from app.errors import Code, InputError


def opened(path: Path) -> BinaryIO:
    """Open a file that somebody named; InputError BACKUP_NOT_FOUND."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(Code.BACKUP_NOT_FOUND, f"{path} cannot be opened: {error.strerror}.", hint="") from error


def unlocked(file: BinaryIO, passphrase_file: Path | None) -> tuple[bytes, str] | None:
    """Give data key and passphrase of an encrypted archive, None for a plain one; leaves the file at its beginning."""
    if not is_encrypted(file):
        return None
    envelope = read_envelope(file)
    file.seek(0)
    passphrase = ask_passphrase(passphrase_file)
    return envelope.open(passphrase), passphrase


def ask_passphrase(file: Path | None) -> str:
    """Take the passphrase from the first line of a file, or ask for it; InputError PASSPHRASE_REQUIRED."""
    if file is not None:
        with opened(file) as lines:
            return lines.readline().decode("utf-8").rstrip("\r\n")
    if not sys.stdin.isatty():
        hint = "Run it on a terminal, or give --passphrase-file (/dev/stdin reads it from a pipe)."
        raise InputError(Code.PASSPHRASE_REQUIRED, "The archive is encrypted.", hint=hint)
    return getpass.getpass("Passphrase: ")
