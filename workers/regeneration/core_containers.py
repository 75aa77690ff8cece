"""Asks the cell's core containers: whether they run, what a command in them says."""

from collections.abc import Sequence
from pathlib import Path

from app.engine.base import CommandResult, ContainerState, Engine
from app.errors import Code, PartError
from workers.belonging import other_home

NOT_THERE = {126, 127}
_SECONDS = 60
_PAGE = 3500
# `run` keeps the last 4 KiB of an output: this gives any of it, page by page, and only the lines that matter
_PAGED = """
pattern=$1 from=$2 size=$3
shift 3
text=$("$@" 2>&1)
code=$?
[ "$code" = 0 ] || { printf '%s\\n' "$text" | tail -c 1000; exit "$code"; }
printf '%s\\n' "$text" | grep -e "$pattern" | tail -c "+$from" | head -c "$size"
exit 0
"""


async def why_away(engine: Engine, name: str, root: Path) -> str | None:
    """Say why a container cannot be asked; None where it runs, and runs for the cell in `root`."""
    try:
        container = await engine.inspect(name)
    except PartError as error:
        if error.code is Code.CONTAINER_MISSING:
            return f"there is no {name}"
        return f"{name} cannot be asked: {error.message}"
    if container.state is not ContainerState.RUNNING:
        return f"{name} does not run"
    home = other_home(container, root)
    return None if home is None else f"{name} belongs to the cell in {home}"


async def ask(engine: Engine, name: str, command: Sequence[str], *, stdin: str | None = None) -> CommandResult:
    """Run a command in a container, for a minute at most."""
    data = None if stdin is None else stdin.encode()
    return await engine.run(name, command, timeout_seconds=_SECONDS, stdin=data)


async def read_lines(engine: Engine, name: str, command: Sequence[str], *, matching: str = "") -> CommandResult:
    """Run a command for the lines of its output that match a pattern of `grep`, however many they are."""
    pages = ""
    while True:
        words = ["sh", "-c", _PAGED, "sh", matching, str(len(pages) + 1), str(_PAGE), *command]
        page = await ask(engine, name, words)
        if page.exit_code != 0:
            return page
        pages += page.output
        if len(page.output) < _PAGE:
            return CommandResult(0, pages)


def last_words(result: CommandResult) -> str:
    """Give the line in which a command says what it did not like."""
    lines = [line.strip() for line in result.output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    said = (errors or lines or ["it said nothing"])[-1]
    return f"{said[:300]} (exit code {result.exit_code})"
