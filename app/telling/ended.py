"""A job that has ended, in words: its plan or its parts, every warning, what comes next; on standard output."""

from typing import Any

from rich.filesize import decimal

from app.archive.shown import printable

_SHOWN = 20
_ACTIONS = ("create", "replace", "remove", "leave")
_SPACE = {
    "cell_needed": "room for the cell's files",
    "cell_free": "  free there",
    "safety_at_most": "room to save first what is replaced, at most",
    "backups_free": "  free there",
    "volumes_needed": "room for the data of the services",
}


def tell_document(job: dict[str, Any], *, plan: bool = False) -> None:
    """Say how a job ended; `job` is its document, `plan` says that the plan is what was asked for."""
    result = job["result"] or {}
    if plan and "plan" in result:
        _tell_plan(result["plan"])
    _tell_parts(job["components"])
    for warning in job["warnings"]:
        say(f"warning: {warning}")
    if job["kind"] == "prune":
        for backup_id in result.get("removed", ()):
            say(f"removed {backup_id}")
    if result.get("safety_backup_id"):
        say(f"what was replaced is kept as {result['safety_backup_id']}")
    if result.get("rolled_back"):
        say("the cell was put back as it was")
    if job["error"] is not None:
        say(f"{job['state']}: {job['error']['message']} [{job['error']['code']}]")
        say(f"  {job['error']['hint']}")
        return
    say(job["state"])
    if result.get("next"):
        say(result["next"])


def say(line: str) -> None:
    """Print one line, however long it is; what is in it cannot steer a terminal."""
    print(printable(line))


def label_of(part: dict[str, Any]) -> str:
    """Name a part: the component, or the service and its volume."""
    return f"{part['service']}/{part['name']}" if part.get("service") else str(part["name"])


def _tell_parts(parts: list[dict[str, Any]]) -> None:
    """Say what came of each part; a hint stands once, below the last one that it is for."""
    hints = [part["error"]["hint"] if part["error"] else None for part in parts]
    for number, (part, hint) in enumerate(zip(parts, hints, strict=True), start=1):
        say(_part_line(part))
        if hint and hint not in hints[number:]:
            say(f"  {hint}")


def _part_line(part: dict[str, Any]) -> str:
    why = f": {part['error']['message']}" if part["error"] else ""
    count = f", {_counted(part['files'], 'file')}, {decimal(part['bytes'])}" if part["outcome"] == "succeeded" else ""
    return f"{label_of(part)}: {part['outcome']}{count}{why}"


def _tell_plan(plan: dict[str, Any]) -> None:
    for component in plan["components"]:
        counts = ", ".join(f"{_amount(component[what])} to {what}" for what in _ACTIONS)
        say(f"{component['name']}: {counts}")
        for change in component["changes"][:_SHOWN]:
            say(f"  {change['action']} {change['path']}")
        if len(component["changes"]) > _SHOWN or component["truncated"]:
            say("  …")
    for volume in plan["volumes"]:
        say(f"{volume['name']} -> {volume['container']}:{volume['path']}, {decimal(volume['bytes'])}")
    for item in plan["missing"]:
        say(f"missing: {item['name']}: {item['message']}")
    for name, words in _SPACE.items():
        size = plan["space"][name]
        say(f"{words}: {'not known' if size is None else decimal(size)}")


def _amount(counts: dict[str, int]) -> str:
    told = [_counted(counts[f"{noun}s"], noun) for noun in ("file", "folder") if counts[f"{noun}s"]]
    return " and ".join(told) or "nothing"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else f'{noun}s'}"
