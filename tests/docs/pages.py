"""Pages of the documentation, read as their readers read them: tables, blocks, links."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.service import PROJECT

DOCS = PROJECT / "docs"
_ROW = re.compile(r"^\|(.+)\|$")
_RULE = re.compile(r"^[|: -]+$")


def page(name: str) -> str:
    """Give a page of docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def pages() -> list[Path]:
    """Give the README and every page of docs/."""
    return [PROJECT / "README.md", *sorted(DOCS.glob("*.md"))]


def section(text: str, heading: str) -> str:
    """Give what stands below a heading, up to the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading '{heading}'"
    return found[1]


def tables(text: str) -> list[list[dict[str, str]]]:
    """Give each table as its rows, each a cell by the heading of its column."""
    found: list[list[dict[str, str]]] = []
    heads: list[str] = []
    for line in text.splitlines():
        match = _ROW.match(line)
        if match is None:
            heads = []
        elif _RULE.match(line):
            continue
        elif heads:
            found[-1].append(dict(zip(heads, _cells(match[1]), strict=True)))
        else:
            heads = _cells(match[1])
            found.append([])
    return found


def _cells(inside: str) -> list[str]:
    return [cell.strip() for cell in inside.split("|")]


def literals(cell: str) -> list[str]:
    """Give what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str, language: str) -> list[str]:
    """Give the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def links(text: str) -> Iterator[tuple[str, str]]:
    """Give the text and the target of each link and image outside of fenced blocks."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for match in re.finditer(r"\[((?:[^\[\]]|`[^`]*`)*)\]\(([^()\s]+)\)", prose):
        yield match[1], match[2]


def anchors(text: str) -> set[str]:
    """Give the name that each heading can be linked to by, as git forges make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
