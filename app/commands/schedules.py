"""`cell-backup schedule`: what the service does by itself."""

import argparse
from typing import Any

from app.client.service import Service
from app.commands.calling import calling, started
from app.commands.parsing import Adding, add_no_wait, add_service_options, adder, word
from app.commands.printing import moment, print_json, print_table, say
from app.errors import Code, RefusedError
from app.options.shared import add_choice_options
from app.telling.exits import Exit

_FIELDS = ("cron", "timezone", "kind", "jitter", "overlap", "components", "services", "label", "passphrase_file")
_PATH = "/api/schedules"


def add(command: Adding) -> None:
    """Add the command."""
    inner = adder(command("schedule", lambda _: Exit.USAGE, "List, set, run and remove schedules of the service."))
    listing = inner("list", _list, "List schedules, their next time and what came of the last one.")
    setting = inner("set", _set, "Make a schedule, or change one; what is left out is as in a new one.")
    running = inner("run", _run, "Do now what a schedule does.")
    removing = inner("remove", _remove, "Remove a schedule; jobs that it made go on.")
    for parser in (listing, setting, running, removing):
        add_service_options(parser)
    for parser in (setting, running, removing):
        parser.add_argument("name", type=word, metavar="NAME", help="name of the schedule")
    add_no_wait(running)
    _add_fields(setting)


def _add_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cron", required=True, help="minute, hour, day, month, weekday, such as '30 2 * * *'")
    parser.add_argument("--timezone", metavar="ZONE", help="such as Europe/Berlin")
    parser.add_argument("--kind", choices=("backup", "verify"), help="'verify' reads the newest backup to its end")
    parser.add_argument("--jitter", type=int, metavar="SECONDS", help="up to so many seconds later")
    parser.add_argument("--overlap", choices=("skip", "queue"), help="what is done while its last job has not ended")
    parser.add_argument("--no-catch-up", action="store_true", help="a time that passed meanwhile is not made up for")
    parser.add_argument("--disabled", action="store_true", help="it has no times until it is set anew")
    add_choice_options(parser)
    parser.add_argument("--label", help="a line to recognise the backups by")
    parser.add_argument(
        "--passphrase-file", metavar="FILE", help="the service reads its first line at each time; of the service's host"
    )


def _list(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        found = await service.get(_PATH)
        if parsed.json:
            print_json(found)
        else:
            titles = ("NAME", "KIND", "CRON", "ZONE", "ENABLED", "NEXT", "LAST", "WHY")
            print_table(titles, [_row(one, await last_outcome(service, one)) for one in found["schedules"]])
        return Exit.SUCCEEDED

    return calling(parsed, work)


async def last_outcome(service: Service, schedule: dict[str, Any]) -> str | None:
    """Say what came of a schedule's last time: how its job stands or ended, if there was one that is remembered."""
    last = schedule["last_result"] or {}
    outcome: str | None = last.get("outcome")
    if last.get("job_id") is None:
        return outcome
    try:
        state: str = (await service.get(f"/api/jobs/{last['job_id']}"))["state"]
    except RefusedError as error:
        if error.code != Code.JOB_NOT_FOUND:
            raise
        return outcome
    return state


def _row(schedule: dict[str, Any], outcome: str | None) -> tuple[object, ...]:
    last = schedule["last_result"] or {}
    return (
        schedule["name"],
        schedule["kind"],
        schedule["cron"],
        schedule["timezone"],
        "yes" if schedule["enabled"] else "no",
        moment(next(iter(schedule["next_runs"]), None)),
        outcome,
        last.get("code"),
    )


def _set(parsed: argparse.Namespace) -> int:
    wanted = {name: value for name in _FIELDS if (value := getattr(parsed, name)) is not None}
    wanted |= {"catch_up": not parsed.no_catch_up, "enabled": not parsed.disabled}

    async def work(service: Service) -> int:
        try:
            schedule = await service.ask("PUT", f"{_PATH}/{parsed.name}", body=wanted)
        except RefusedError as error:
            if error.code is not Code.SCHEDULE_NOT_FOUND:
                raise
            schedule = await service.ask("POST", _PATH, body={"name": parsed.name, **wanted})
        if parsed.json:
            print_json(schedule)
            return Exit.SUCCEEDED
        for time in schedule["next_runs"]:
            say(f"next: {moment(time)}")
        return Exit.SUCCEEDED

    return calling(parsed, work)


def _run(parsed: argparse.Namespace) -> int:
    return calling(parsed, lambda service: started(service, parsed, f"{_PATH}/{parsed.name}/run", {}))


def _remove(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        await service.ask("DELETE", f"{_PATH}/{parsed.name}")
        print_json({"removed": parsed.name}) if parsed.json else say(f"{parsed.name} is removed")
        return Exit.SUCCEEDED

    return calling(parsed, work)
