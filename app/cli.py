"""The command line: `cell-backup`."""

import argparse
import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NoReturn

from app import __version__
from app.archive.encryption import decrypt
from app.archive.envelope import read_envelope
from app.archive.storage import write_all, writing
from app.archive.verify import Report, verify
from app.cell.quick import make_quick_archive
from app.demo.story import run_demo
from app.errors import BackupError, Code, InputError
from app.logs import configure_logging
from app.passphrase_prompt import opened, unlocked
from app.processes import banner, run_alone, run_worker, serve, serve_api
from app.restore_options import add_regenerate_options, add_restore_options
from app.settings import Settings, load_settings

_FAILED = 1
_PARTIAL = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it succeeded, 1 where it failed, 2 for wrong usage, 3 where something is missing."""
    parsed = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        status: int = parsed.run(parsed)
    except BackupError as error:
        print(f"cell-backup: {error.message} [{error.code}]", file=sys.stderr)
        print(f"  {error.hint}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status


def _stop(number: int, _: object) -> NoReturn:
    # as an exception, so that what was begun is undone
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cell-backup", description="Back up a Personal Internet Cell, and bring it back."
    )
    parser.add_argument("--version", action="version", version=f"cell-backup {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        # without abbreviations: `--passphrase secret` would be taken for a file's name
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    for name, run, text in (
        ("serve", _serve, "Run API and worker, with a server of its own where no CELL_BACKUP_REDIS_URL is set."),
        ("api", _api, "Run the API alone."),
        ("worker", _worker, "Run a worker alone."),
        ("quick", _quick, "Write the quick archive of a cell: its files, no service data, no service needed."),
    ):
        command(name, run, text).add_argument("--cell-root", type=Path, help="folder of the cell")
    for name, run, text in (
        ("verify", _verify, "Read an archive to its last byte and prove it whole."),
        ("decrypt", _decrypt, "Write the plain .tar.gz of an encrypted archive."),
    ):
        added = command(name, run, text)
        added.add_argument("file", type=Path, metavar="FILE")
        added.add_argument("--passphrase-file", type=Path, help="take the passphrase from the first line of this file")
        if name == "decrypt":
            added.add_argument("-o", "--output", type=Path, help="where to write; '-' for standard output")
    for name, add, text in (
        ("restore", add_restore_options, "Bring a cell back from an archive, without a service."),
        ("regenerate", add_regenerate_options, "Make Caddyfile, Corefile and routing rules anew, and apply them."),
    ):
        add(command(name, _alone, text))
    command("demo", _demo, "Back up a sample cell, lose it, bring it back, and clean up.")
    return parser


def _settings(parsed: argparse.Namespace) -> Settings:
    settings = load_settings()
    if parsed.cell_root is not None:
        settings = settings.model_copy(update={"cell_root": parsed.cell_root.expanduser().absolute()})
    configure_logging(settings)
    return settings


def _serve(parsed: argparse.Namespace) -> int:
    settings = _settings(parsed)
    asyncio.run(serve(settings, lambda address: print(banner(address, settings), flush=True)))
    return 0


def _api(parsed: argparse.Namespace) -> int:
    settings = _settings(parsed)
    asyncio.run(serve_api(settings, lambda address: print(banner(address, settings), flush=True)))
    return 0


def _worker(parsed: argparse.Namespace) -> int:
    run_worker(_settings(parsed))
    return 0


def _alone(_: argparse.Namespace) -> int:
    run_alone(sys.argv[1:])
    return 0


def _quick(parsed: argparse.Namespace) -> int:
    settings = _settings(parsed)
    archive = make_quick_archive(
        settings.cell_root,
        now=datetime.now(UTC),
        leave_out=[settings.archives_dir, settings.state_dir],
        gzip_level=settings.gzip_level,
    )
    for warning in archive.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{archive.path}: {archive.files} files, {archive.bytes} bytes, no live service data")
    return 0


def _demo(_: argparse.Namespace) -> int:
    run_demo()
    return 0


def _verify(parsed: argparse.Namespace) -> int:
    with opened(parsed.file) as file:
        # which files a cell lets be setuid is for a restore to say
        report = verify(file, data_key=_data_key(file, parsed), may_be_setuid=lambda _: True)
    print(f"{parsed.file}: whole; {report.files} files, {report.bytes} bytes")
    return _report_failed_parts(report)


def _report_failed_parts(report: Report) -> int:
    if report.manifest is None:
        print("  It has no checksums of its own, as a quick archive: gzip and tar structure are sound.")
        return 0
    failed = [result for result in report.manifest.parts if result.error is not None]
    for result in failed:
        print(f"  {result.part.label} {result.outcome}: {result.error.message if result.error else ''}")
    return _PARTIAL if failed else 0


def _decrypt(parsed: argparse.Namespace) -> int:
    with opened(parsed.file) as file:
        data_key = _data_key(file, parsed)
        if data_key is None:
            hint = "A plain .tar.gz is opened by tar; 'cell-backup verify' says whether it is whole."
            raise InputError(Code.PASSPHRASE_UNEXPECTED, f"{parsed.file} is not encrypted.", hint=hint)
        plain = decrypt(file, read_envelope(file), data_key)
        if parsed.output == Path("-"):
            with writing():
                sys.stdout.buffer.writelines(plain)
                sys.stdout.buffer.flush()
            return 0
        output: Path = parsed.output or parsed.file.with_suffix("")
        _write_new(output, plain)
    print(output)
    return 0


def _data_key(file: BinaryIO, parsed: argparse.Namespace) -> bytes | None:
    keys = unlocked(file, parsed.passphrase_file)
    return None if keys is None else keys[0]


def _write_new(path: Path, pieces: Iterator[bytes]) -> None:
    """Write a file that appears only when it is whole, and never takes another one's place."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with writing():
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for piece in pieces:
                write_all(file, piece)
            with writing():
                os.fsync(file.fileno())
        with writing():
            path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
