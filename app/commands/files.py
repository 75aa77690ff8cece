"""Archives from and to the service: download, upload."""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import BinaryIO

from app.archive.storage import write_all, writing
from app.catalog.names import split_file_name
from app.client.files import download, upload
from app.client.service import Service
from app.commands.calling import calling
from app.commands.parsing import Adding, add_service_options, word
from app.commands.printing import print_json, say, size
from app.errors import Code, InputError
from app.new_file import new_file
from app.options.passphrases import opened
from app.telling.exits import Exit
from app.telling.live import transferring

_PIECE = 1 << 20


def add(command: Adding) -> None:
    """Add the commands."""
    downloading = command("download", _download, "Fetch a backup; what breaks off goes on from there.")
    downloading.add_argument("backup_id", type=word, metavar="ID", help="id of the backup")
    downloading.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to write; '-' for standard output"
    )
    uploading = command("upload", _upload, "Give the service an archive that was made elsewhere.")
    uploading.add_argument("file", type=Path, metavar="FILE", help="the archive")
    uploading.add_argument(
        "--id", dest="backup_id", type=word, metavar="ID", help="id it gets; else what its name says"
    )
    for parser in (downloading, uploading):
        add_service_options(parser)


def _download(parsed: argparse.Namespace) -> int:
    if parsed.output == Path("-") and parsed.json:
        raise InputError(Code.INVALID_REQUEST, "Standard output is either the archive or JSON.", hint="Choose one.")

    async def work(service: Service) -> int:
        backup = await service.get(f"/api/config/backups/{parsed.backup_id}")
        with transferring(backup["size"]) as moved:
            if parsed.output == Path("-"):
                await download(service, parsed.backup_id, _to_standard_output, moved)
                return Exit.SUCCEEDED
            output: Path = parsed.output or Path(Path(backup["file_name"]).name)
            with new_file(output) as file:
                done = await download(service, parsed.backup_id, lambda piece: write_all(file, piece), moved)
        print_json({"file": str(output), "size": done}) if parsed.json else say(str(output))
        return Exit.SUCCEEDED

    return calling(parsed, work)


def _to_standard_output(piece: bytes) -> None:
    with writing():
        sys.stdout.buffer.write(piece)


def _upload(parsed: argparse.Namespace) -> int:
    told = split_file_name(parsed.file.name)
    backup_id = parsed.backup_id or (told[0] if told else None)
    if backup_id is None:
        message = f"{parsed.file.name} is not called like an archive, so that it has no id."
        raise InputError(Code.INVALID_BACKUP_ID, message, hint="Give it one by --id.")
    with opened(parsed.file) as file:
        digest = _sha256(file)

        async def work(service: Service) -> int:
            with transferring(parsed.file.stat().st_size) as moved:
                backup = await upload(service, backup_id, file, digest, moved)
            print_json(backup) if parsed.json else say(f"{backup['backup_id']}: {size(backup['size'])}")
            return Exit.SUCCEEDED

        return calling(parsed, work)


def _sha256(file: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.digest()
