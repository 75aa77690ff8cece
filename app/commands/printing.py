"""What commands print on standard output: tables and lines for people, JSON for programs."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.filesize import decimal

from app.archive.shown import printable
from app.telling.ended import say

__all__ = ["moment", "print_json", "print_line", "print_table", "say", "size"]


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=1))


def print_line(document: Any) -> None:
    """Print one line of JSON, at once."""
    print(json.dumps(document), flush=True)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns, never cut; numbers that people read stand as they are."""
    lines = [list(titles), *([printable(_text(cell)) for cell in row] for row in rows)]
    widths = [max(cell_len(line[place]) for line in lines) for place in range(len(titles))]
    for line in lines:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def _text(cell: object) -> str:
    return "-" if cell is None or cell == "" else str(cell)


def size(count: int) -> str:
    """Give bytes for people."""
    return decimal(count)


def moment(text: str | None) -> str | None:
    """Give a time of a document in the time zone of this machine."""
    if text is None:
        return None
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
