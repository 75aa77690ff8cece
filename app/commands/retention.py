"""Which backups stay: `cell-backup retention` for the rules, `cell-backup prune` for what they do."""

import argparse
from typing import Any

from app.client.service import Service
from app.commands.calling import calling, started
from app.commands.parsing import Adding, add_no_wait, add_service_options
from app.commands.printing import moment, print_json, print_table, say, size
from app.telling.exits import Exit

_RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
_PATH = "/api/retention"


def add(command: Adding) -> None:
    """Add the commands."""
    ruling = command("retention", _retention, "Show which backups are kept, or set it: rules left out are unset.")
    for rule in _RULES:
        ruling.add_argument(f"--keep-{rule}", type=int, metavar="N", help=f"keep so many {rule} backups")
    ruling.add_argument("--timezone", metavar="ZONE", help="where days begin at midnight")
    ruling.add_argument("--reset", action="store_true", help="forget what was set: the settings' rules hold again")
    ruling.set_defaults(refuse=ruling.error)
    pruning = command("prune", _prune, "Remove the backups that the rules do not keep.")
    pruning.add_argument("--dry-run", action="store_true", help="say what would be removed, and why the rest stays")
    pruning.add_argument(
        "--despite-anomaly", action="store_true", help="remove also where the newest backup is odd, or much smaller"
    )
    add_no_wait(pruning)
    for parser in (ruling, pruning):
        add_service_options(parser)


def _retention(parsed: argparse.Namespace) -> int:
    names = ("timezone", *(f"keep_{rule}" for rule in _RULES))
    policy = {name: value for name in names if (value := getattr(parsed, name)) is not None}
    if parsed.reset and policy:
        parsed.refuse("argument --reset: not allowed with anything that is set")

    async def work(service: Service) -> int:
        if parsed.reset:
            told = await service.ask("DELETE", _PATH)
        elif policy:
            told = await service.ask("PUT", _PATH, body=policy)
        else:
            told = await service.get(_PATH)
        print_json(told) if parsed.json else _tell_policy(told)
        return Exit.SUCCEEDED

    return calling(parsed, work)


def _tell_policy(told: dict[str, Any]) -> None:
    if told["active"]:
        for name, value in told["policy"].items():
            say(f"{name:<12} {'-' if value is None else value}")
    else:
        say("no rule is set: every backup stays")
    if told["source"] == "request":
        say("this was set in place of what the settings say; --reset forgets it")


def _prune(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        if not parsed.dry_run:
            return await started(service, parsed, f"{_PATH}/apply", {"despite_anomaly": parsed.despite_anomaly})
        preview = await service.ask("POST", f"{_PATH}/preview")
        print_json(preview) if parsed.json else _tell_preview(preview)
        return Exit.SUCCEEDED

    return calling(parsed, work)


def _tell_preview(preview: dict[str, Any]) -> None:
    rows = [
        (
            one["backup_id"],
            moment(one["created_at"]),
            size(one["size"]),
            "keep" if one["keep"] else "remove",
            ", ".join(reason.replace("_", " ") for reason in one["reasons"]),
        )
        for one in preview["decisions"]
    ]
    print_table(("ID", "CREATED", "SIZE", "WHAT", "WHY"), rows)
    say(f"{preview['removed']} to remove, {size(preview['freed'])}")
    if preview["held"]:
        say(f"none would be removed: {preview['held']['message']} [{preview['held']['code']}]")
        say(f"  {preview['held']['hint']}")
