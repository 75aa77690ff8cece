"""One command with a worker's means, for a machine without a service: `backup`, `restore` and `regenerate`."""

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from app.archive.envelope import new_envelope
from app.archive.parts import PartOutcome
from app.catalog.base import Store
from app.catalog.local import LocalStore
from app.catalog.names import new_backup_id
from app.catalog.one_file import OneFileStore
from app.cell.files import check_cell_root
from app.cell.layout import load_layout
from app.cell.selection import select
from app.errors import BackupError, Code, InputError
from app.jobs.codec import encode_job
from app.jobs.document import document
from app.jobs.keys import pack_keys
from app.jobs.records import Job, JobKind, JobState
from app.jobs.rooms import MemoryJobs
from app.logs import configure_logging
from app.options.backup import add_backup_options, locking_passphrase
from app.options.passphrases import opened, unlocked
from app.options.restore import add_regenerate_options, add_restore_options, restore_request
from app.settings import Settings, load_settings
from app.telling.exits import Exit, exit_of
from workers.backup import backup
from workers.maintenance import tidy_up
from workers.regeneration.regenerating import regenerate
from workers.restore import restore
from workers.running import Ending, JobRun, run_job
from workers.sole import working
from workers.telling import follow, tell_ended
from workers.tools import Tools, tools_around

_NO_CONTAINER = {Code.CONTAINER_MISSING, Code.ENGINE_UNREACHABLE}


def main() -> int:
    """Run one command and give its exit code; app/telling/exits.py says what each means."""
    parsed = _parser().parse_args()
    try:
        settings = _settings(parsed.cell_root)
        if parsed.command == "restore":
            if parsed.cell_root is None:
                parsed.refuse("a file is restored to a folder: --cell-root DIR is missing")
            parsed.archive = Path(parsed.target).expanduser().absolute()
        run: Callable[[Settings, argparse.Namespace], Coroutine[Any, Any, int]] = parsed.run
        return asyncio.run(run(settings, parsed))
    except BackupError as error:
        print(f"cell-backup: {error.message} [{error.code}]", file=sys.stderr)
        print(f"  {error.hint}", file=sys.stderr)
        return Exit.FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cell-backup")
    commands = parser.add_subparsers(required=True, dest="command")
    for name, run, add in (
        ("backup", _backup, add_backup_options),
        ("restore", _restore, add_restore_options),
        ("regenerate", _regenerate, add_regenerate_options),
    ):
        command = commands.add_parser(name, allow_abbrev=False)
        add(command)
        command.set_defaults(run=run, refuse=command.error)
    return parser


def _settings(root: Path | None) -> Settings:
    settings = load_settings()
    if root is not None:
        settings = settings.model_copy(update={"cell_root": root.expanduser().absolute()})
    configure_logging(settings, level="WARNING")
    return settings


async def _backup(settings: Settings, parsed: argparse.Namespace) -> int:
    check_cell_root(settings.cell_root)
    passphrase = locking_passphrase(parsed)
    request: dict[str, Any] = {name: getattr(parsed, name) for name in ("components", "services", "label")}
    data_key = None
    if passphrase is not None:
        envelope, data_key = new_envelope(passphrase, scrypt_n=settings.scrypt_n)
        request["envelope"] = envelope.to_line()
    job = _new_job(JobKind.BACKUP, new_backup_id(datetime.now(UTC)), request)
    ended = await _do(settings, LocalStore(settings.archives_dir), job, backup, secret=data_key, tell=not parsed.json)
    if parsed.json:
        print(json.dumps(document(ended), indent=1))
    else:
        tell_ended(ended)
        if ended.state in {JobState.SUCCEEDED, JobState.PARTIAL} and ended.result is not None:
            print(settings.archives_dir / ended.result["file_name"])
    return exit_of(ended.state)


async def _restore(settings: Settings, parsed: argparse.Namespace) -> int:
    _check_choice(settings, parsed)
    archive: Path = parsed.archive
    with closing(opened(archive)) as file:
        keys = unlocked(file, parsed.passphrase_file)
    request: dict[str, Any] = restore_request(parsed)
    secret = None
    if keys is not None:
        data_key, passphrase = keys
        envelope, safety_key = new_envelope(passphrase, scrypt_n=settings.scrypt_n)
        request["safety_envelope"] = envelope.to_line()
        secret = pack_keys(data_key, safety_key)
    store = OneFileStore(archive, LocalStore(settings.archives_dir))
    job = _new_job(JobKind.RESTORE, store.backup_id, request)
    with _root_made(settings.cell_root, dry_run=parsed.dry_run):
        ended = await _do(settings, store, job, restore, secret=secret, tell=not parsed.json)
    if parsed.json:
        print(encode_job(ended).decode())
    else:
        tell_ended(ended)
        _tell_volumes_to_come(ended, parsed, settings.cell_root)
    return exit_of(ended.state)


def _check_choice(settings: Settings, parsed: argparse.Namespace) -> None:
    """Refuse components that nobody knows; services are what the archive has. Raises InputError as `select` does."""
    known = load_layout(settings.layout_file).names
    select(parsed.components, parsed.services, known_components=known, known_services=parsed.services or ())


def _tell_volumes_to_come(job: Job, parsed: argparse.Namespace, root: Path) -> None:
    """Say how the volumes come back that had no container to go to, as on a machine where the cell never ran."""
    waiting = [result.part.service for result in job.components if result.error and result.error.code in _NO_CONTAINER]
    if not waiting or job.state is not JobState.PARTIAL:
        return
    services = ",".join(dict.fromkeys(service for service in waiting if service))
    again = ["cell-backup", "restore", str(parsed.archive), "--cell-root", str(root), "--components", ""]
    if isinstance(parsed.passphrase_file, Path):
        again += ["--passphrase-file", str(parsed.passphrase_file)]
    print(f"Then, once the containers run, bring back the data of {services.replace(',', ', ')}:")
    print(f"  {shlex.join([*again, '--services', services])}")


async def _do(
    settings: Settings,
    store: Store,
    job: Job,
    work: Callable[[JobRun], Awaitable[Ending]],
    *,
    secret: bytes | None,
    tell: bool,
) -> Job:
    """Do one job in this process, after what is left of one that was cut off; give it as it ended."""
    async with tools_around(settings, MemoryJobs().as_jobs(), store, alone=True) as tools:
        async with working(settings.state_dir, patient=False):
            await tidy_up(tools, patient=False)
        await tools.jobs.store.create(job, max_queued=1)
        if secret is not None:
            await tools.jobs.secrets.seal(job.job_id, secret)
        return await _run(tools, job, work, tell=tell)


@contextmanager
def _root_made(root: Path, *, dry_run: bool) -> Iterator[None]:
    """Make the folder of a cell that is to come back on a bare machine; it goes again where it stays empty."""
    made = _make_root(root, dry_run=dry_run)
    try:
        yield
    finally:
        with suppress(OSError):  # there is something in it
            for folder in made:
                folder.rmdir()
        if made:
            _give_to_owner(root)


def _make_root(root: Path, *, dry_run: bool) -> list[Path]:
    """Make the folder where it is not there; give each folder that was made, the innermost first."""
    if root.is_dir():
        return []
    if dry_run:
        raise InputError(Code.CELL_ROOT_MISSING, f"{root} does not exist.", hint="A dry run makes no folder; make it.")
    missing = list(takewhile(lambda folder: not folder.exists(), (root, *root.parents)))
    try:
        root.mkdir(parents=True)
    except OSError as error:
        raise InputError(Code.CELL_ROOT_MISSING, f"{root} cannot be made: {error.strerror}.") from error
    return missing


def _give_to_owner(root: Path) -> None:
    """Give a folder that was made here to the owner of the cell in it: no archive has the folder itself."""
    cell = root / "config"
    if os.geteuid() == 0 and cell.is_dir():
        owner = cell.stat()
        os.chown(root, owner.st_uid, owner.st_gid)


def _new_job(kind: JobKind, backup_id: str, request: dict[str, Any]) -> Job:
    return Job(
        job_id=uuid.uuid4().hex,
        kind=kind,
        state=JobState.QUEUED,
        created_at=datetime.now(UTC),
        backup_id=backup_id,
        request=request,
    )


async def _run(tools: Tools, job: Job, work: Callable[[JobRun], Awaitable[Ending]], *, tell: bool) -> Job:
    """Run the job to its end; SIGINT, SIGTERM or a lost terminal cancels it, which puts back what it changed."""
    store = tools.jobs.store
    cancelling: set[asyncio.Task[Any]] = set()

    def cancel() -> None:
        cancelling.add(asyncio.ensure_future(store.request_cancel(job.job_id)))

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, cancel)
    running = asyncio.create_task(run_job(tools, job.job_id, work))
    await follow(store, job.job_id, running, tell=tell)
    await running
    ended = await store.get(job.job_id)
    assert ended is not None, "nobody forgets the only job"
    return ended


async def _regenerate(settings: Settings, parsed: argparse.Namespace) -> int:
    check_cell_root(settings.cell_root)
    async with (
        tools_around(settings, MemoryJobs().as_jobs(), LocalStore(settings.archives_dir), alone=True) as tools,
        working(settings.state_dir, patient=False),
    ):
        await tidy_up(tools, patient=False)
        done = await regenerate(tools, way=parsed.way)
    if parsed.json:
        print(json.dumps(done.to_json(), indent=1))
    else:
        for line in done.lines():
            print(line)
    outcomes = {made.outcome for made in done.parts.values()}
    if PartOutcome.FAILED not in outcomes:
        return Exit.SUCCEEDED
    return Exit.PARTIAL if PartOutcome.SUCCEEDED in outcomes else Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
