"""Encrypted archives as files: decrypt, rewrap."""

import argparse
import sys
from pathlib import Path

from app.archive.encryption import decrypt
from app.archive.envelope import read_envelope
from app.archive.reader import is_encrypted
from app.archive.storage import write_all, writing
from app.catalog.rewrapping import rewrap
from app.commands.parsing import Adding
from app.commands.printing import print_json, say
from app.errors import Code, InputError
from app.new_file import new_file
from app.options.passphrases import ask_passphrase, new_passphrase, opened, unlocked
from app.options.shared import add_json, add_passphrase_options
from app.settings import load_settings
from app.telling.exits import Exit


def add(command: Adding) -> None:
    """Add the commands."""
    decrypting = command("decrypt", _decrypt, "Write the plain .tar.gz of an encrypted archive.")
    decrypting.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write; '-' for standard output")
    rewrapping = command("rewrap", _rewrap, "Give an encrypted archive a new passphrase, without encrypting it anew.")
    for parser in (decrypting, rewrapping):
        parser.add_argument("file", type=Path, metavar="FILE", help="the archive")
        add_passphrase_options(parser)
        add_json(parser)
    add_passphrase_options(rewrapping, which="new-passphrase")


def _decrypt(parsed: argparse.Namespace) -> int:
    if parsed.output == Path("-") and parsed.json:
        raise InputError(Code.INVALID_REQUEST, "Standard output is either the archive or JSON.", hint="Choose one.")
    with opened(parsed.file) as file:
        keys = unlocked(file, parsed.passphrase_file)
        if keys is None:
            hint = "A plain .tar.gz is opened by tar; 'cell-backup verify' says whether it is whole."
            raise _not_encrypted(parsed.file, hint)
        plain = decrypt(file, read_envelope(file), keys[0])
        if parsed.output == Path("-"):
            with writing():
                sys.stdout.buffer.writelines(plain)
                sys.stdout.buffer.flush()
            return Exit.SUCCEEDED
        output: Path = parsed.output or parsed.file.with_suffix("")
        with new_file(output) as written:
            for piece in plain:
                write_all(written, piece)
    print_json({"file": str(output), "size": output.stat().st_size}) if parsed.json else say(str(output))
    return Exit.SUCCEEDED


def _rewrap(parsed: argparse.Namespace) -> int:
    with opened(parsed.file) as file:
        if not is_encrypted(file):
            raise _not_encrypted(parsed.file, "It has no passphrase that could be changed.")
        envelope = read_envelope(file)
    old = ask_passphrase(parsed.passphrase_file)
    envelope.open(old)  # a wrong one is said before a new one is asked for
    new = new_passphrase(parsed.new_passphrase_file)
    done = rewrap(parsed.file, envelope.rewrapped(old, new, scrypt_n=load_settings().scrypt_n), new)
    if parsed.json:
        print_json({"file": str(parsed.file), "size": done.size, "sha256": done.sha256})
        return Exit.SUCCEEDED
    say(f"{parsed.file} opens with the new passphrase, and with the old one no more.")
    print("Copies made before still open with the old one: remove them, or rewrap them too.", file=sys.stderr)
    return Exit.SUCCEEDED


def _not_encrypted(path: Path, hint: str) -> InputError:
    return InputError(Code.PASSPHRASE_UNEXPECTED, f"{path} is not encrypted.", hint=hint)
