"""A job while it runs: a live bar on a terminal, plain lines in a pipe; on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

Show = Callable[[dict[str, Any]], None]


@contextmanager
def live(*, hidden: bool = False) -> Iterator[Show]:
    """Give what shows where a job stands: call it with `state`, `stage` and `progress`, as events have them."""
    console = Console(stderr=True, quiet=hidden)
    if hidden or not console.is_interactive:
        yield _lines(console)
        return
    with _bar(console) as progress:
        task = progress.add_task("", total=100, stage="", size="", rate="", left="")

        def show(told: dict[str, Any]) -> None:
            at = told["progress"]
            progress.update(
                task,
                completed=at["percent"],
                stage=told["stage"] or told["state"],
                size=decimal(at["bytes_done"]),
                rate=f"{decimal(int(at['rate']))}/s" if at["rate"] else "",
                left=_left(at["eta_seconds"]),
            )

        yield show


@contextmanager
def transferring(total: int) -> Iterator[Callable[[int], None]]:
    """Give what shows how many bytes more were sent or received; nothing in a pipe."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield lambda _: None
        return
    with _bar(console) as progress:
        task = progress.add_task("", total=total, stage="", size="", rate="", left="")

        def show(more: int) -> None:
            progress.advance(task, more)
            at = progress.tasks[0]
            rate = f"{decimal(int(at.speed))}/s" if at.speed else ""
            progress.update(task, size=decimal(int(at.completed)), rate=rate, left=_left(at.time_remaining))

        yield show


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.fields[stage]:<12}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[size]:>9} {task.fields[rate]:>11} {task.fields[left]}", markup=False),
        console=console,
    )


def _left(seconds: float | None) -> str:
    return f"{timedelta(seconds=round(seconds))} left" if seconds else ""


def _lines(console: Console) -> Show:
    last = None

    def show(told: dict[str, Any]) -> None:
        nonlocal last
        if told["stage"] != last:
            last = told["stage"]
            line = f"{told['progress']['percent']:3.0f} %  {last}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    return show
