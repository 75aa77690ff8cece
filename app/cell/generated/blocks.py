"""The syntax that Caddyfile and Corefile share: words, quotes, comments, lines, and blocks in braces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\S+)', re.DOTALL)
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one directive: its line number, its words, and the lines of its block, if it has one."""

    number: int
    words: tuple[str, ...]
    lines: tuple["Line", ...] = ()
    has_block: bool = False


@dataclass(frozen=True, slots=True)
class _Token:
    number: int
    text: str
    quoted: bool
    first: bool


def parse_blocks(text: str) -> tuple[Line, ...]:
    """Give the blocks of a file; ValueError names the line where a brace or a quote doesn't hold."""
    tokens = list(_tokens(text))
    lines, end = _lines(tokens, 0, 0)
    if end < len(tokens):
        raise ValueError(f"line {tokens[end].number}: a closing brace without an opening one")
    return lines


def _tokens(text: str) -> Iterator[_Token]:
    position, number, first = 0, 1, True
    while position < len(text):
        char = text[position]
        if char.isspace():
            number += char == "\n"
            first = first or char == "\n"
            position += 1
        elif char == "#":
            position = text.find("\n", position) if "\n" in text[position:] else len(text)
        else:
            found = _WORD.match(text, position)
            assert found is not None
            quoted = found[3] is None
            if not quoted and char in '"`':
                raise ValueError(f"line {number}: a quote that is not closed")
            yield _Token(number, found[0][1:-1] if quoted else found[0], quoted, first)
            number += found[0].count("\n")
            position, first = found.end(), False


def _lines(tokens: list[_Token], start: int, depth: int) -> tuple[tuple[Line, ...], int]:
    """Read lines up to the brace that closes their block; give them and the position of that brace."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"line {tokens[start - 1].number}: blocks too deep in one another")
    lines: list[Line] = []
    position = start
    while position < len(tokens) and not _is(tokens[position], "}"):
        number = tokens[position].number
        words: list[str] = []
        while position < len(tokens) and not _is(tokens[position], "{") and not _is(tokens[position], "}"):
            if words and tokens[position].first and not words[-1].endswith(","):
                break
            words.append(tokens[position].text)
            position += 1
        inner: tuple[Line, ...] = ()
        block = position < len(tokens) and _is(tokens[position], "{") and not (words and tokens[position].first)
        if block:
            opened = tokens[position].number
            inner, position = _lines(tokens, position + 1, depth + 1)
            if position == len(tokens):
                raise ValueError(f"line {opened}: a block that is not closed")
            position += 1
        elif position < len(tokens) and _is(tokens[position], "}") and not tokens[position].first:
            raise ValueError(f"line {tokens[position].number}: a closing brace stands on a line of its own")
        lines.append(Line(number, tuple(words), inner, block))
    return tuple(lines), position


def _is(token: _Token, brace: str) -> bool:
    return token.text == brace and not token.quoted
