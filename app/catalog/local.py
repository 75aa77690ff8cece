"""Archives in a local directory: 0600 files in a 0700 directory, visible only when they are whole and durable."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, override

from app.archive.storage import write_all, writing
from app.catalog.base import Entry, NewArchive, Store, Verification
from app.catalog.names import SIDECAR, check_backup_id, file_name, split_file_name, time_in_name
from app.catalog.sidecar import dump_sidecar, load_sidecar
from app.errors import Code, InputError, JobError

_PARTIAL = ".partial"


class LocalStore(Store):
    """Hold archives in one directory; it is made when the first archive is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def directory(self) -> Path:
        """Give the directory; spooled data may go there too."""
        return self._directory
