"""What the demo shows: live on a terminal, plain lines in a pipe."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from app.api.catalog import BackupModel
from app.api.jobs import JobDocument
from app.api.parts import PartModel

_TAIL_LINES = 20


class Screen:
    """Write the demo's story to standard output."""

    def __init__(self) -> None:
        self._console = Console()

    def say(self, line: str = "") -> None:
        """Print one line as it is, however long."""
        _print(self._console, line)

    @contextmanager
    def following(self, title: str) -> Iterator[Callable[[JobDocument], None]]:
        """Give what shows a job: a bar on a terminal, a line for each stage elsewhere."""
        if not self._console.is_interactive:
            yield _StageLines(self.say, title)
            return
        columns = (
            TextColumn(f"   {title}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[size]:>9} {task.fields[rate]:>11}  {task.fields[stage]}"),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(title, total=100, size="", rate="", stage="")

            def show(job: JobDocument) -> None:
                at = job.progress
                progress.update(
                    task, completed=at.percent, size=decimal(at.bytes_done), rate=_rate(job), stage=_stage(job)
                )

            yield show

    def table(self, entry: BackupModel, left_out: Sequence[str]) -> None:
        """Show how each component and volume came out; `left_out` names volumes that nobody asked for."""
        table = Table(box=box.SIMPLE_HEAD, show_footer=True)
        table.add_column("component or volume", "in all")
        table.add_column("outcome", entry.outcome or "")
        table.add_column("files", str(sum(part.files for part in entry.parts)), justify="right")
        table.add_column("bytes", decimal(sum(part.bytes for part in entry.parts)), justify="right")
        for part in entry.parts:
            table.add_row(label(part), part.outcome, str(part.files), decimal(part.bytes))
        for name in left_out:
            table.add_row(name, "left out", "-", "-")
        self._console.print(table)

    def tail(self, log: Path) -> None:
        """Show the last lines of a log, where there are any."""
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        if lines:
            errors = Console(stderr=True)
            _print(errors, "\nThe last lines of the service's log:")
            for line in lines[-_TAIL_LINES:]:
                _print(errors, f"   {line}")
            _print(errors, "")


def _print(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)


class _StageLines:
    """Print a line whenever a job comes to another stage."""

    def __init__(self, say: Callable[[str], None], title: str) -> None:
        self._say = say
        self._title = title
        self._last = ""

    def __call__(self, job: JobDocument) -> None:
        stage = _stage(job)
        if stage != self._last:
            self._last = stage
            self._say(f"   {self._title}: {job.progress.percent:3.0f} %  {stage}")


def label(part: PartModel) -> str:
    """Give the name people read: `vault`, or `mail/mailboxes` for a volume."""
    return part.name if part.service is None else f"{part.service}/{part.name}"


def _stage(job: JobDocument) -> str:
    return job.state if job.state.ended else job.stage or job.state


def _rate(job: JobDocument) -> str:
    return f"{decimal(int(job.progress.rate))}/s" if job.progress.rate else ""
