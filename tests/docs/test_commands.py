"""Every command that a page tells its reader to type is one that the command line takes."""

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from app.cli import build_parser
from tests.docs.pages import pages
from tests.support.service import PROJECT

_OURS = "cell-backup "
_ENDS = {";", "|", "||", "&&", "&", ">", "<", ")"}


def commands(text: str) -> Iterator[list[str]]:
    """Give the arguments of each command in a block or in backticks."""
    typed = re.findall(rf"^(?:    |\$ )?({_OURS}.+)$", text, re.MULTILINE) + re.findall(rf"`({_OURS}[^`]+)`", text)
    for line in typed:
        yield from _split(re.sub(r"<[^<>]*>", "placeholder", line))


def _split(line: str) -> Iterator[list[str]]:
    words: list[str] = []
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += "…:"
    for word in [*lexer, ";"]:
        if word not in _ENDS:
            words.append(word)
            continue
        if words[:1] == [_OURS.strip()]:
            yield words[1:]
        words = []


def refusal(words: list[str]) -> str | None:
    """Say why the command line does not take a command; a bare name of one is only spoken of, not typed."""
    told = io.StringIO()
    try:
        with redirect_stderr(told), redirect_stdout(io.StringIO()):
            build_parser().parse_args([*words, "--help"] if len(words) == 1 else words)
    except SystemExit as end:
        return f"{words}: {told.getvalue()}" if end.code else None
    return None


@pytest.mark.parametrize("place", pages(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_the_command_line_takes_what_the_page_says(place: Path) -> None:
    found = list(commands(place.read_text(encoding="utf-8")))
    typed = [words for words in found if words[0] != "…"]  # that is what the service says as it starts
    assert [why for words in typed if (why := refusal(words))] == []


def test_commands_are_found_where_pages_have_them() -> None:
    indented = "    cell-backup list; cell-backup show ID   # all\n"
    fenced = "```\ncell-backup verify <backup id> >/dev/null || logger x\n```\n"
    assert list(commands(f"{indented}{fenced}or `cell-backup prune --dry-run`")) == [
        ["list"],
        ["show", "ID"],
        ["verify", "placeholder"],
        ["prune", "--dry-run"],
    ]


def test_a_command_that_is_not_there_is_seen() -> None:
    assert refusal(["services"])
    assert refusal(["restore", "ID", "--wet-run"])
