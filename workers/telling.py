"""What a job looks like on a terminal: a live bar, or plain lines in a pipe."""

import asyncio
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from app.archive.parts import PartOutcome, PartResult
from app.jobs.base import JobStore
from app.jobs.records import Job

_LOOK_SECONDS = 0.2
_SHOWN = 20


async def follow(store: JobStore, job_id: str, running: asyncio.Task[Any], *, tell: bool) -> None:
    """Show how far a job is until its task has ended."""
    console = Console(stderr=True)
    if not tell:
        await asyncio.wait({running})
    elif console.is_interactive:
        await _bar(console, store, job_id, running)
    else:
        await _lines(console, store, job_id, running)


def tell_ended(job: Job) -> None:
    """Say how a job ended: its plan or its steps, what is not restored and why, every warning, what comes next."""
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    result = job.result or {}
    if "plan" in result and job.request.get("dry_run"):
        _tell_plan(console, result["plan"])
    for part in job.components:
        console.print(_part_line(part))
    for warning in job.warnings:
        console.print(f"warning: {warning}")
    if result.get("safety_backup_id"):
        console.print(f"what was replaced is kept as {result['safety_backup_id']}")
    if result.get("rolled_back"):
        console.print("the cell was put back as it was")
    if job.error is not None:
        console.print(f"{job.state}: {job.error.message} [{job.error.code}]\n  {job.error.hint}")
        return
    console.print(f"{job.state}")
    if result.get("next"):
        console.print(result["next"])


def _part_line(part: PartResult) -> str:
    why = f": {part.error.message}" if part.error is not None else ""
    count = f", {part.files} files, {decimal(part.bytes)}" if part.outcome is PartOutcome.SUCCEEDED else ""
    return f"{part.part.label}: {part.outcome}{count}{why}"


def _tell_plan(console: Console, plan: dict[str, Any]) -> None:
    for component in plan["components"]:
        counts = ", ".join(f"{component[what]['files']} to {what}" for what in ("create", "replace", "remove", "leave"))
        console.print(f"{component['name']}: {counts}")
        for change in component["changes"][:_SHOWN]:
            console.print(f"  {change['action']} {change['path']}")
        if len(component["changes"]) > _SHOWN or component["truncated"]:
            console.print("  …")
    for volume in plan["volumes"]:
        console.print(f"{volume['name']} -> {volume['container']}:{volume['path']}, {decimal(volume['bytes'])}")
    for item in plan["missing"]:
        console.print(f"missing: {item['name']}: {item['message']}")
    for name, size in plan["space"].items():
        console.print(f"space: {name}: {decimal(size) if isinstance(size, int) else size}")


async def _bar(console: Console, store: JobStore, job_id: str, running: asyncio.Task[Any]) -> None:
    columns = (
        TextColumn("{task.fields[stage]:<12}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[size]:>9} {task.fields[rate]:>11}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=100, stage="", size="", rate="")
        while not running.done():
            job = await store.get(job_id)
            if job is not None:
                at = job.progress
                rate = f"{decimal(int(at.rate))}/s" if at.rate else ""
                size = decimal(at.bytes_done)
                progress.update(task, completed=at.percent, stage=job.stage or job.state, size=size, rate=rate)
            await asyncio.wait({running}, timeout=_LOOK_SECONDS)


async def _lines(console: Console, store: JobStore, job_id: str, running: asyncio.Task[Any]) -> None:
    last: str | None = None
    while not running.done():
        job = await store.get(job_id)
        if job is not None and job.stage != last:
            last = job.stage
            console.print(f"{job.progress.percent:3.0f} %  {last}", highlight=False)
        await asyncio.wait({running}, timeout=_LOOK_SECONDS)
