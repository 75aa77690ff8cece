"""The cell's own quick archive: its files without any service data, and with no more than the file system at work."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

from app.archive.compress import GzipSink
from app.archive.files import Entry, FileMembers
from app.archive.headers import END_OF_ARCHIVE
from app.archive.relay import Meter
from app.archive.storage import write_all, writing
from app.archive.sums import SumsSpool
from app.cell.files import take_inventory
from app.cell.layout import Component, Layout, load_layout
from app.cell.restoring.under_way import check_not_restored
from app.errors import Code, JobError

CONTENTS = Component("cell", ("config/**", "data/**", "docker-compose.yml", "Makefile"))
_NAMES_TRIED = 60


@dataclass(frozen=True, slots=True)
class QuickArchive:
    """Describe a quick archive: `files` and `bytes` count what is in it."""

    path: Path
    files: int
    bytes: int
    warnings: tuple[str, ...]


def make_quick_archive(
    root: Path, *, now: datetime, leave_out: Iterable[Path] = (), gzip_level: int = 1
) -> QuickArchive:
    """Write `<cell root>/backups/cell-backup-<YYYYMMDD-HHMMSS>.tar.gz` (UTC), mode 0600.

    Where that name is taken, the archive gets the next second that is free. `leave_out` is as for `take_inventory`.
    Such an archive has no place to say that something is missing, so a file that cannot be read fails it as a whole.
    Raises InputError as `check_cell_root` does, PartError FILE_UNREADABLE, JobError DISK_FULL or WRITE_FAILED, or as
    `check_not_restored` does, before and after; then, as after an interrupt, nothing is left behind.
    """
    check_not_restored(root)
    folder = root / "backups"
    layout = Layout((CONTENTS,), load_layout(None).excluded)
    (contents,) = take_inventory(root, layout, chosen=[CONTENTS.name], leave_out=[folder, *leave_out]).components
    for fault in contents.faults:
        raise fault
    with writing():
        folder.mkdir(mode=0o700, exist_ok=True)
    with _unfinished(folder) as (unfinished, file):
        meter, warnings = _write_members(file, root, contents.entries, gzip_level)
        check_not_restored(root)
        with writing():
            os.fsync(file.fileno())
            path = _publish(unfinished, folder, now)
    return QuickArchive(path, meter.files, meter.bytes, (*contents.warnings, *warnings))


@contextmanager
def _unfinished(folder: Path) -> Iterator[tuple[Path, FileIO]]:
    path = folder / f".cell-backup-{secrets.token_hex(8)}.partial"
    try:
        with writing():
            file = FileIO(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600))
        with file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def _write_members(file: FileIO, root: Path, entries: Iterable[Entry], level: int) -> tuple[Meter, list[str]]:
    meter = Meter()
    gzip = GzipSink(lambda data: write_all(file, data), level)
    with closing(SumsSpool(root / "backups")) as sums:
        members = FileMembers(root, gzip.write, sums, meter)
        warnings = [warning for entry in entries if (warning := members.add(entry))]
    gzip.write(END_OF_ARCHIVE)
    gzip.finish()
    return meter, warnings


def _publish(unfinished: Path, folder: Path, now: datetime) -> Path:
    """Give the archive its name; a hard link, unlike a rename, never takes the place of another file."""
    for seconds in range(_NAMES_TRIED):
        path = folder / f"cell-backup-{now.astimezone(UTC) + timedelta(seconds=seconds):%Y%m%d-%H%M%S}.tar.gz"
        try:
            path.hardlink_to(unfinished)
        except FileExistsError:
            continue
        try:
            unfinished.unlink()
            _sync(folder)
        except BaseException:
            path.unlink()
            raise
        return path
    raise JobError(Code.WRITE_FAILED, f"The names of the next {_NAMES_TRIED} seconds are taken in {folder}.")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
