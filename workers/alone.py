"""One command with a worker's means, for a machine without a service: `restore` and `regenerate`."""

import argparse
import asyncio
import json
import signal
import sys
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.archive.envelope import new_envelope
from app.catalog.local import LocalStore
from app.catalog.one_file import OneFileStore
from app.errors import BackupError, Code, InputError
from app.jobs.codec import encode_job
from app.jobs.keys import pack_keys
from app.jobs.records import Job, JobKind, JobState
from app.jobs.rooms import MemoryJobs
from app.logs import configure_logging
from app.passphrase_prompt import opened, unlocked
from app.restore_options import add_regenerate_options, add_restore_options
from app.settings import Settings, load_settings
from workers.maintenance import tidy_up
from workers.regeneration.regenerating import regenerate
from workers.restore import restore
from workers.running import run_job
from workers.sole import working
from workers.telling import follow, tell_ended
from workers.tools import Tools, tools_around

_EXIT = {JobState.SUCCEEDED: 0, JobState.PARTIAL: 3}
_FAILED = 1


def main() -> int:
    """Run one command: 0 where it succeeded, 1 where it failed, 2 for wrong usage, 3 where something is missing."""
    parsed = _parser().parse_args()
    try:
        settings = _settings(parsed.cell_root)
        if parsed.command == "restore":
            return asyncio.run(_restore(settings, parsed))
        return asyncio.run(_regenerate(settings, parsed))
    except BackupError as error:
        print(f"cell-backup: {error.message} [{error.code}]", file=sys.stderr)
        print(f"  {error.hint}", file=sys.stderr)
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cell-backup")
    commands = parser.add_subparsers(required=True, dest="command")
    add_restore_options(commands.add_parser("restore", allow_abbrev=False))
    add_regenerate_options(commands.add_parser("regenerate", allow_abbrev=False))
    return parser


def _settings(root: Path) -> Settings:
    settings = load_settings().model_copy(update={"cell_root": root.expanduser().absolute()})
    configure_logging(settings, level="WARNING")
    return settings


async def _restore(settings: Settings, parsed: argparse.Namespace) -> int:
    archive = parsed.file.expanduser().absolute()
    with closing(opened(archive)) as file:
        keys = unlocked(file, parsed.passphrase_file)
    _make_root(settings.cell_root, dry_run=parsed.dry_run)
    request: dict[str, Any] = {
        "components": parsed.components,
        "services": parsed.services,
        "dry_run": parsed.dry_run,
        "safety": parsed.safety,
        "mode": parsed.mode,
        "damaged": parsed.damaged,
        "regenerate": parsed.regenerate,
    }
    secret = None
    if keys is not None:
        data_key, passphrase = keys
        envelope, safety_key = new_envelope(passphrase, scrypt_n=settings.scrypt_n)
        request["safety_envelope"] = envelope.to_line()
        secret = pack_keys(data_key, safety_key)
    store = OneFileStore(archive, LocalStore(settings.archives_dir))
    memory = MemoryJobs()
    async with tools_around(settings, memory.as_jobs(), store, alone=True) as tools:
        async with working(settings.state_dir, patient=False):
            await tidy_up(tools, patient=False)
        job = _new_job(store.backup_id, request)
        await tools.jobs.store.create(job, max_queued=1)
        if secret is not None:
            await tools.jobs.secrets.seal(job.job_id, secret)
        ended = await _run(tools, job, tell=not parsed.json)
    if parsed.json:
        print(encode_job(ended).decode())
    else:
        tell_ended(ended)
    return _EXIT.get(ended.state, _FAILED)


def _make_root(root: Path, *, dry_run: bool) -> None:
    """Make the folder of a cell that is to come back on a bare machine."""
    if root.is_dir():
        return
    if dry_run:
        raise InputError(Code.CELL_ROOT_MISSING, f"{root} does not exist.", hint="A dry run makes no folder; make it.")
    try:
        root.mkdir(parents=True)
    except OSError as error:
        raise InputError(Code.CELL_ROOT_MISSING, f"{root} cannot be made: {error.strerror}.") from error


def _new_job(backup_id: str, request: dict[str, Any]) -> Job:
    return Job(
        job_id=uuid.uuid4().hex,
        kind=JobKind.RESTORE,
        state=JobState.QUEUED,
        created_at=datetime.now(UTC),
        backup_id=backup_id,
        request=request,
    )


async def _run(tools: Tools, job: Job, *, tell: bool) -> Job:
    """Run the job to its end; SIGINT, SIGTERM or a lost terminal cancels it, which puts back what it changed."""
    store = tools.jobs.store
    cancelling: set[asyncio.Task[Any]] = set()

    def cancel() -> None:
        cancelling.add(asyncio.ensure_future(store.request_cancel(job.job_id)))

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, cancel)
    running = asyncio.create_task(run_job(tools, job.job_id, restore))
    await follow(store, job.job_id, running, tell=tell)
    await running
    ended = await store.get(job.job_id)
    assert ended is not None, "nobody forgets the only job"
    return ended


async def _regenerate(settings: Settings, parsed: argparse.Namespace) -> int:
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
    return 0 if done.good else 3


if __name__ == "__main__":
    sys.exit(main())
