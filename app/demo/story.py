"""The demo from its first line to its last."""

import secrets
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from app.api.catalog import BackupModel
from app.api.jobs import JobDocument
from app.api.parts import PartModel
from app.cell.manifests import Volume
from app.cell.sample import make_sample_cell
from app.cell.services import find_services
from app.demo.containers import Docker, service_containers
from app.demo.disaster import Disaster
from app.demo.screen import Screen, label
from app.demo.service import Client, Place, running_service
from app.demo.undoing import kept_if_good, unwinding
from app.errors import BackupError, Code, JobError, PartError
from app.jobs.records import JobState

_DIRECTORY = "cell-backup-demo-"


@dataclass(frozen=True, slots=True)
class _Saved:
    """Hold what the demo leaves behind."""

    directory: Path
    archive: Path
    passphrase: Path


def run_demo() -> None:
    """Back up a sample cell, lose it, restore it, compare, and say how to open the archive.

    Raises BackupError where anything goes wrong, and where anything is not as it was before.
    What was made on the way is gone afterwards; archive and passphrase stay if all went well.
    """
    screen = Screen()
    screen.say("A sample cell is backed up, lost, and restored, from start to finish.\n")
    try:
        with unwinding() as stack:
            saved = _tell(stack, screen)
    except OSError as error:
        hint = "Let TMPDIR name a directory that takes a few dozen megabytes."
        raise JobError(Code.WRITE_FAILED, f"The demo cannot go on: {error}.", hint=hint) from error
    _say_how_to_open(screen, saved)


def _tell(stack: ExitStack, screen: Screen) -> _Saved:
    directory = stack.enter_context(kept_if_good(_DIRECTORY))
    work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_DIRECTORY)))
    log = work / "log"
    stack.enter_context(_log_shown_on_failure(screen, log))
    volumes = _make_cell(screen, work / "cell")
    docker = _start_containers(stack, screen, volumes, work)
    running = docker is not None
    place = Place(cell=work / "cell", archives=directory, state=work / "state", log=log)
    client = stack.enter_context(running_service(place, with_engine=running))
    screen.say(f"3. The service runs, as a process of its own: {client.address}/docs")
    passphrase = _make_passphrase(directory / "passphrase.txt")
    entry = _back_up(screen, client, passphrase, services=sorted(volumes) if running else [])
    _verify(screen, client, entry, passphrase)
    _show(screen, client.backup(entry.backup_id), {} if running else volumes)
    _lose_and_restore(screen, client, entry, passphrase, Disaster(screen, place.cell, volumes.values(), docker))
    return _Saved(directory, directory / entry.file_name, passphrase)


@contextmanager
def _log_shown_on_failure(screen: Screen, log: Path) -> Iterator[None]:
    try:
        yield
    except BackupError:
        screen.tail(log)
        raise


def _make_cell(screen: Screen, cell: Path) -> dict[str, Volume]:
    """Make the sample cell, with container names that nobody else has; give its volumes by service id."""
    make_sample_cell(cell, container_prefix=f"cell-demo-{secrets.token_hex(4)}-")
    files = sum(path.is_file() and not path.is_symlink() for path in cell.rglob("*"))
    screen.say(f"1. A sample cell: configuration, keys, vault, peers, zones, two services ({cell})")
    screen.say(f"   {files} files, among them logs and old backups, which a backup leaves out")
    return {volume.service: volume for service in find_services(cell, {}).found for volume in service.volumes}


def _start_containers(stack: ExitStack, screen: Screen, volumes: Mapping[str, Volume], work: Path) -> Docker | None:
    try:
        docker = stack.enter_context(service_containers(volumes, work))
    except PartError as error:
        names = ", ".join(_label(volume) for volume in volumes.values())
        screen.say(f"2. Left out, the data of the services ({names}), because no containers can be started:")
        screen.say(f"   {error.message}")
        screen.say("   So only the cell's files are asked for. A backup that asks for volumes it cannot reach says")
        screen.say("   so for each of them and ends as 'partial'.")
        return None
    names = ", ".join(volume.container for volume in volumes.values())
    screen.say(f"2. Two service containers with mail and calendars: {names}")
    return docker


def _label(volume: Volume) -> str:
    return f"{volume.service}/{volume.name}"


def _make_passphrase(file: Path) -> Path:
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(secrets.token_urlsafe(24) + "\n", encoding="ascii")
    return file


def _read(passphrase: Path) -> str:
    return passphrase.read_text(encoding="ascii").strip()


def _back_up(screen: Screen, client: Client, passphrase: Path, *, services: list[str]) -> BackupModel:
    screen.say("4. POST /api/config/backup, with a passphrase")
    wanted = {"passphrase": _read(passphrase), "services": services, "label": "demo"}
    with screen.following("backup") as show:
        job = client.wait(client.start("/api/config/backup", wanted), show)
    check_succeeded(job)
    return client.backup(job.backup_id)


def _verify(screen: Screen, client: Client, entry: BackupModel, passphrase: Path) -> None:
    path = f"/api/config/backups/{entry.backup_id}/verify"
    screen.say(f"5. POST {path}")
    with screen.following("verify") as show:
        job = client.wait(client.start(path, {"passphrase": _read(passphrase)}), show)
    check_succeeded(job)


def _lose_and_restore(screen: Screen, client: Client, entry: BackupModel, passphrase: Path, disaster: Disaster) -> None:
    before = disaster.look()
    disaster.strike()
    volumes = f", and everything in {' and '.join(before.volumes)}" if before.volumes else ""
    screen.say(f"6. The disaster: every file of the cell is deleted{volumes}")
    path = f"/api/config/restore/{entry.backup_id}"
    screen.say(f"7. POST {path}")
    wanted = {"passphrase": _read(passphrase), "services": sorted({label.split("/")[0] for label in before.volumes})}
    with screen.following("restore") as show:
        job = client.wait(client.start(path, wanted), show)
    check_succeeded(job)
    _warn(screen, job.components, job.warnings)
    result = job.result or {}
    if saved_before := result.get("safety_backup_id"):
        screen.say(f"   What it saved before it began, an empty cell, is deleted again: {saved_before}")
        client.delete(saved_before)
    screen.say("8. Compared with what was there before the disaster:")
    disaster.compare(before)
    screen.say("   Caddyfile, Corefile and routing rules are not made anew here: that would reach for the containers")
    screen.say(f"   of a cell that may run on this host. What a real restore says in the end: {result.get('next')}\n")


def check_succeeded(job: JobDocument) -> None:
    """Raise JobError where a job did not end as it should: nothing in a sample cell may fail."""
    if job.error is not None:
        raise JobError(Code(job.error.code), f"The {job.kind} failed: {job.error.message}", hint=job.error.hint)
    if job.state is JobState.SUCCEEDED:
        return
    faults = [f"{label(part)}: {part.error.message}" for part in job.components if part.error is not None]
    raise JobError(Code.INTERNAL, " ".join([f"The {job.kind} ended as '{job.state}'.", *faults]))


def _show(screen: Screen, entry: BackupModel, left_out: Mapping[str, Volume]) -> None:
    screen.table(entry, [_label(volume) for volume in left_out.values()])
    _warn(screen, entry.parts, entry.warnings)
    size, seconds = decimal(entry.size), entry.seconds or 0
    screen.say(f"   {size} on disk, encrypted, made in {seconds:.2f} s; verified to its last byte.\n")


def _warn(screen: Screen, parts: Sequence[PartModel], warnings: Sequence[str]) -> None:
    for part in parts:
        for warning in part.warnings:
            screen.say(f"   warning, {label(part)}: {warning}")
    for warning in warnings:
        screen.say(f"   warning: {warning}")


def _say_how_to_open(screen: Screen, saved: _Saved) -> None:
    opening = [str(saved.archive), "--passphrase-file", str(saved.passphrase)]
    lines = (
        f"The archive:     {saved.archive}",
        f"Its passphrase:  {saved.passphrase} (keep a real one elsewhere: without it nobody opens the archive)",
        "",
        "Prove it whole, turn it into an ordinary .tar.gz, look inside:",
        f"   {shlex.join([*_command(), 'verify', *opening])}",
        f"   {shlex.join([*_command(), 'decrypt', *opening])}",
        f"   {shlex.join(['tar', '-tzf', str(saved.archive.with_suffix(''))])}",
        "",
        "All else that the demo made is gone. This removes the rest:",
        f"   {shlex.join(['rm', '-r', str(saved.directory)])}",
    )
    for line in lines:
        screen.say(line)


def _command() -> list[str]:
    """Give the command as it was called."""
    called = Path(sys.argv[0])
    return [sys.argv[0]] if called.name == "cell-backup" else [sys.executable, "-m", "app.cli"]
