"""Archives: list, show, verify, contents, delete; of the service, or files without one."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from app.archive.contents import list_members
from app.archive.verify import Report, verify
from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.client.service import Service
from app.commands.calling import calling, started, unlocking
from app.commands.parsing import (
    Adding,
    add_no_wait,
    add_service_options,
    add_target,
    is_file,
    word,
)
from app.commands.printing import moment, print_json, print_table, say, size
from app.errors import Code, InputError
from app.jobs.document import part_document
from app.options.passphrases import opened, unlocked
from app.options.shared import add_passphrase_options
from app.telling.ended import label_of
from app.telling.exits import Exit

_PAGE = 1000
_MANY = 10_000


def add(command: Adding) -> None:
    """Add the commands."""
    listing = command("list", _list, "List the backups of the service, or the archives in a directory.")
    listing.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="a directory; no service is asked")
    showing = command("show", _show, "Show what is known of a backup without opening it.")
    deleting = command("delete", _delete, "Remove a backup; there is no way back.")
    for parser in (listing, showing, deleting):
        add_service_options(parser)
    for parser in (showing, deleting):
        parser.add_argument("backup_id", type=word, metavar="ID", help="id of the backup")
    verifying = command("verify", _verify, "Read an archive to its last byte and prove it whole.")
    contents = command("contents", _contents, "List what is in an archive.")
    contents.add_argument("--prefix", default="", metavar="PATH", help="only what begins like this")
    for parser in (verifying, contents):
        add_target(parser)
        add_service_options(parser)
        add_passphrase_options(parser)
    add_no_wait(verifying)


def _list(parsed: argparse.Namespace) -> int:
    if parsed.directory is not None:
        if not parsed.directory.is_dir():
            raise InputError(Code.BACKUP_NOT_FOUND, f"{parsed.directory} is no directory.", hint="")
        return _tell_list([_document(entry) for entry in LocalStore(parsed.directory).entries()], parsed)

    async def work(service: Service) -> int:
        backups: list[dict[str, Any]] = []
        while True:
            page = await service.get("/api/config/backups", {"limit": _PAGE, "offset": len(backups)})
            backups += page["backups"]
            if len(backups) >= page["total"] or not page["backups"]:
                return _tell_list(backups, parsed)

    return calling(parsed, work)


def _document(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = to_jsonable_python(dataclasses.asdict(entry))
    return told | {"parts": [part_document(part) for part in entry.parts]}


def _tell_list(backups: list[dict[str, Any]], parsed: argparse.Namespace) -> int:
    if parsed.json:
        print_json({"backups": backups, "total": len(backups)})
        return Exit.SUCCEEDED
    rows = [
        (
            backup["backup_id"],
            moment(backup["created_at"]),
            size(backup["size"]),
            "yes" if backup["encrypted"] else "no",
            backup["outcome"],
            _verified(backup),
            backup["label"],
        )
        for backup in backups
    ]
    print_table(("ID", "CREATED", "SIZE", "ENCRYPTED", "OUTCOME", "VERIFIED", "LABEL"), rows)
    return Exit.SUCCEEDED


def _verified(backup: dict[str, Any]) -> str | None:
    if backup["verified"] is None:
        return None
    return "whole" if backup["verified"]["ok"] else str(backup["verified"]["code"])


def _show(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        backup = await service.get(f"/api/config/backups/{parsed.backup_id}")
        if parsed.json:
            print_json(backup)
        else:
            _tell_backup(backup)
        return Exit.SUCCEEDED

    return calling(parsed, work)


def _tell_backup(backup: dict[str, Any]) -> None:
    facts = {
        "id": backup["backup_id"],
        "file": backup["file_name"],
        "created": moment(backup["created_at"]),
        "size": size(backup["size"]),
        "encrypted": "yes" if backup["encrypted"] else "no",
        "outcome": backup["outcome"],
        "label": backup["label"],
        "cell": backup["cell_name"],
        "verified": _verified(backup),
        "expires": moment(backup["expires_at"]),
        "sha256": backup["sha256"],
    }
    for name, fact in facts.items():
        say(f"{name:<10} {'-' if fact is None else fact}")
    if backup["parts"]:
        rows = [
            (label_of(part), part["outcome"], part["files"], size(part["bytes"]), (part["error"] or {}).get("message"))
            for part in backup["parts"]
        ]
        print_table(("PART", "OUTCOME", "FILES", "SIZE", "WHY"), rows)
    for warning in backup["warnings"]:
        say(f"warning: {warning}")


def _delete(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        await service.ask("DELETE", f"/api/config/backups/{parsed.backup_id}")
        print_json({"deleted": parsed.backup_id}) if parsed.json else say(f"{parsed.backup_id} is removed")
        return Exit.SUCCEEDED

    return calling(parsed, work)


def _verify(parsed: argparse.Namespace) -> int:
    if is_file(parsed):
        return _verify_file(Path(parsed.target), parsed)

    body = unlocking(parsed)

    async def work(service: Service) -> int:
        return await started(service, parsed, f"/api/config/backups/{parsed.target}/verify", body)

    return calling(parsed, work)


def _verify_file(path: Path, parsed: argparse.Namespace) -> int:
    with opened(path) as file:
        keys = unlocked(file, parsed.passphrase_file)
        # which files a cell lets be setuid is for a restore to say
        report = verify(file, data_key=None if keys is None else keys[0], may_be_setuid=lambda _: True)
    failed = [] if report.manifest is None else [part for part in report.manifest.parts if part.error is not None]
    if parsed.json:
        parts = [] if report.manifest is None else [part_document(part) for part in report.manifest.parts]
        print_json({"file": str(path), "files": report.files, "bytes": report.bytes, "parts": parts})
    else:
        _tell_report(path, report)
        for result in failed:
            say(f"  {result.part.label} {result.outcome}: {result.error.message if result.error else ''}")
    return Exit.PARTIAL if failed else Exit.SUCCEEDED


def _tell_report(path: Path, report: Report) -> None:
    say(f"{path}: whole; {report.files} files, {report.bytes} bytes")
    if report.manifest is None:
        say("  It has no checksums of its own, as a quick archive: gzip and tar structure are sound.")


def _contents(parsed: argparse.Namespace) -> int:
    if is_file(parsed):
        with opened(Path(parsed.target)) as file:
            keys = unlocked(file, parsed.passphrase_file)
            data_key = None if keys is None else keys[0]
            found = list_members(file, data_key=data_key, prefix=parsed.prefix, limit=2**53)
        return _tell_contents([to_jsonable_python(dataclasses.asdict(member)) for member in found], parsed)

    body = unlocking(parsed)

    async def work(service: Service) -> int:
        method = "POST" if body else "GET"
        members: list[dict[str, Any]] = []
        offset: int | None = 0
        while offset is not None:
            params = {"prefix": parsed.prefix, "offset": offset, "limit": _MANY}
            path = f"/api/config/backups/{parsed.target}/contents"
            page = await service.ask(method, path, body=body or None, params=params)
            members += page["members"]
            offset = page["next_offset"]
        return _tell_contents(members, parsed)

    return calling(parsed, work)


def _tell_contents(members: list[dict[str, Any]], parsed: argparse.Namespace) -> int:
    if parsed.json:
        print_json({"members": members})
    else:
        for member in members:
            link = f" -> {member['link']}" if member["link"] else ""
            owner = f"{member['uid']}:{member['gid']}"
            say(f"{member['mode']} {owner:>11} {member['size']:>12} {moment(member['mtime'])} {member['path']}{link}")
    return Exit.SUCCEEDED
