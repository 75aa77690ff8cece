"""Tells whether the cell's configuration is still the one that was applied last."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.cell.generated.configuration import Configuration, read_configuration
from app.cell.generated.names import read_names
from app.cell.generated.routes import read_routing
from app.cell.generated.templates import source
from app.cell.generated.web import read_web
from app.errors import BackupError

TEMPLATES = ("Caddyfile", "Corefile")


def fingerprint(root: Path, template_dir: Path | None) -> str:
    """Give the SHA-256 over all that step 8 makes use of; never raises: what is broken counts as its complaint.

    A change that step 8 would not notice (a password, a status) does not change it.
    """
    digest = hashlib.sha256()
    for read in (read_web, read_names, read_routing):
        digest.update(_told(partial(_read, read, root)))
    for name in TEMPLATES:
        digest.update(_told(partial(source, name, template_dir)))
    return digest.hexdigest()


def _read(read: Callable[[Path, Configuration], object], root: Path) -> bytes:
    return repr(read(root, read_configuration(root))).encode()


def _told(tell: Callable[[], bytes]) -> bytes:
    try:
        return tell() + b"\0"
    except BackupError as error:
        return error.message.encode() + b"\0"
