"""What `cell-backup doctor` looks at on this machine; a check changes nothing."""

import ctypes
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from rich.filesize import decimal

from app.catalog.local import LocalStore
from app.cell.files import check_cell_root
from app.errors import BackupError
from app.jobs.state_dir import read_private
from app.settings import Settings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SANE_YEARS = range(2026, 2100)
_UNSYNCHRONISED = 5  # TIME_ERROR, adjtimex(2)
_TIMEX_BYTES = 512  # more than the 208 that struct timex has


class Health(StrEnum):
    """Say how well something is: `warn` lets backups run, but not as they should; `fail` does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold the answer to one question, and what mends it where it is not a good one."""

    name: str
    health: Health
    detail: str
    cure: str = ""


def of_error(name: str, error: BackupError, health: Health = Health.FAIL) -> Finding:
    """Make a finding of what went wrong."""
    return Finding(name, health, error.message, error.hint)


def local_findings(settings: Settings) -> list[Finding]:
    """Look at folders, the token's file, space and clock."""
    return [
        _cell_root(settings),
        _folder("backup_dir", settings.archives_dir, "CELL_BACKUP_BACKUP_DIR"),
        _folder("state_dir", settings.state_dir, "CELL_BACKUP_STATE_DIR"),
        _token(settings),
        _space(settings),
        *clock(os.environ, time.time(), kernel_state()),
    ]


def _cell_root(settings: Settings) -> Finding:
    root = settings.cell_root
    try:
        check_cell_root(root)
    except BackupError as error:
        return of_error("cell_root", error)
    if not os.access(root, os.W_OK | os.X_OK):
        cure = "Run the service as the user who owns it, or as root."
        return Finding("cell_root", Health.WARN, f"{root} can be read, but no restore can write to it.", cure)
    return Finding("cell_root", Health.OK, f"{root} can be read and written.")


def _folder(name: str, path: Path, setting: str) -> Finding:
    """Look at a folder that is ours alone, or at the one that it would be made in."""
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        cure = f"Give this user the right to write there, or set {setting}."
        return Finding(name, Health.FAIL, f"{path} cannot be written to.", cure)
    if there != path:
        return Finding(name, Health.OK, f"{path} will be made.")
    facts = path.stat()
    if facts.st_mode & _OTHERS:
        detail = f"{path} has mode {stat.S_IMODE(facts.st_mode):04o}: others can look into it."
        return Finding(name, Health.WARN, detail, f"chmod 700 {path}")
    return Finding(name, Health.OK, f"{path} can be written to, and is nobody else's.")


def _token(settings: Settings) -> Finding:
    path = settings.state_dir / "api-token"
    if settings.api_token is not None:
        return Finding("token", Health.OK, "CELL_BACKUP_API_TOKEN is set.")
    if not os.path.lexists(path):
        return Finding("token", Health.OK, f"{path} is made when the service starts for the first time.")
    try:
        read_private(path)
    except OSError as error:
        cure = "Run this as the service's own user."
        return Finding("token", Health.FAIL, f"{path} cannot be read: {error.strerror}.", cure)
    except BackupError as error:
        return of_error("token", error)
    return Finding("token", Health.OK, f"{path} is this user's alone.")


def _space(settings: Settings) -> Finding:
    folder = settings.archives_dir
    there = next((place for place in (folder, *folder.parents) if place.is_dir()), Path("/"))
    free = shutil.disk_usage(there).free
    try:
        last = next((entry.size for entry in LocalStore(folder).entries()), 0)
    except BackupError as error:
        return of_error("space", error)
    detail = f"{decimal(free)} are free, and the last archive has {decimal(last)}."
    cure = "Remove old backups ('cell-backup delete'), or let CELL_BACKUP_BACKUP_DIR name a larger disk."
    if free < last:
        return Finding("space", Health.FAIL, f"The next backup has no room: {detail}", cure)
    if free < 3 * last:
        return Finding("space", Health.WARN, f"There is room for one or two more backups: {detail}", cure)
    return Finding("space", Health.OK, detail)


def clock(environment: "os._Environ[str] | dict[str, str]", now: float, state: int | None) -> Iterator[Finding]:
    """Judge the clock: its year, whether the kernel knows it to be right, and the time zone."""
    year = datetime.fromtimestamp(now, UTC).year
    cure = "Set the clock, and run a time service: systemctl enable --now systemd-timesyncd"
    if year not in _SANE_YEARS:
        yield Finding("clock", Health.FAIL, f"It is {year}, as the clock says.", cure)
    elif state == _UNSYNCHRONISED:
        yield Finding("clock", Health.WARN, "No time service keeps the clock right.", cure)
    else:
        known = "" if state is None else ", and a time service keeps it right"
        yield Finding("clock", Health.OK, f"It is {year}{known}.")
    if environment.get("TZ") or Path("/etc/localtime").exists():
        yield Finding("time_zone", Health.OK, f"It is {datetime.fromtimestamp(now).astimezone().tzname()}.")
    else:
        cure = "timedatectl set-timezone Europe/Berlin, or set TZ."
        yield Finding("time_zone", Health.WARN, "None is set: times are in UTC.", cure)


def kernel_state() -> int | None:
    """Give what adjtimex(2) says of the clock, None where this process may not ask."""
    adjtimex: Callable[[ctypes.Array[ctypes.c_char]], int] = ctypes.CDLL(None).adjtimex
    state = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state
