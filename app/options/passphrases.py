"""Passphrases on the command line: by prompt, out of a file or a file descriptor, never by argument."""

import getpass
import sys
from pathlib import Path
from typing import BinaryIO

from app.archive.envelope import normalised, read_envelope
from app.archive.reader import is_encrypted
from app.errors import Code, InputError

Source = Path | int

_LOOK = "Look whether it is there under this name, and whether you may read it."


def opened(path: Source, code: Code = Code.BACKUP_NOT_FOUND) -> BinaryIO:
    """Open a file that somebody named, or a descriptor; InputError with this code."""
    try:
        return open(path, "rb")  # noqa: PTH123 - a Path does not open a descriptor
    except OSError as error:
        raise InputError(code, f"{path} cannot be opened: {error.strerror}.", hint=_LOOK) from error


def unlocked(file: BinaryIO, source: Source | None) -> tuple[bytes, str] | None:
    """Give data key and passphrase of an encrypted archive, None for a plain one; leaves the file at its beginning.

    Raises InputError PASSPHRASE_UNEXPECTED where a plain one comes with a passphrase: perhaps it is the wrong file.
    """
    if not is_encrypted(file):
        if source is not None:
            raise InputError(Code.PASSPHRASE_UNEXPECTED, f"{file.name} is a plain archive.")
        return None
    envelope = read_envelope(file)
    file.seek(0)
    passphrase = ask_passphrase(source)
    return envelope.open(passphrase), passphrase


def ask_passphrase(source: Source | None, question: str = "Passphrase: ") -> str:
    """Take the passphrase from the first line of a file, or ask for it; InputError PASSPHRASE_REQUIRED."""
    if source is not None:
        return _first_line(source)
    if not sys.stdin.isatty():
        hint = "Run it on a terminal, or give --passphrase-file (/dev/stdin reads it from a pipe)."
        raise InputError(Code.PASSPHRASE_REQUIRED, "A passphrase is needed.", hint=hint)
    return getpass.getpass(question)


def new_passphrase(source: Source | None) -> str:
    """Take a passphrase that will lock an archive; one that is typed is typed twice. Raises as `ask_passphrase`."""
    passphrase = ask_passphrase(source, "New passphrase: ")
    normalised(passphrase)
    if source is None and getpass.getpass("New passphrase again: ") != passphrase:
        raise InputError(Code.PASSPHRASE_WRONG, "The two passphrases differ.", hint="Nothing was done; try again.")
    return passphrase


def _first_line(source: Source) -> str:
    with opened(source, Code.INVALID_REQUEST) as lines:
        try:
            return lines.readline().decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            message = f"The first line of {source} is not UTF-8."
            raise InputError(Code.INVALID_REQUEST, message, hint="Save the passphrase as UTF-8 text.") from error
