"""The recovery page, read as the steps that somebody does who follows it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.service import PROJECT

PAGE = PROJECT / "docs/recovery.md"
BY_HAND = "by-hand"
_FENCED = re.compile(r"^```(\w+)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANY = "…"


@dataclass(frozen=True, slots=True)
class Step:
    """Hold the commands of one block, the words that mark it, and the lines that the page says one sees then."""

    marks: tuple[str, ...]
    commands: str
    seen: tuple[str, ...] = ()

    def missing_on(self, screen: str) -> list[str]:
        """Name the promised lines that are not on the screen."""
        lines = [line.rstrip() for line in screen.splitlines()]
        patterns = {line: ".*".join(map(re.escape, line.split(_ANY))) for line in self.seen}
        return [line for line, pattern in patterns.items() if not any(re.search(pattern, shown) for shown in lines)]


def steps_of_page() -> Sequence[Step]:
    """Read all marked blocks, in order; a block of text belongs to the commands before it."""
    steps: list[Step] = []
    for language, marks, content in _FENCED.findall(PAGE.read_text(encoding="utf-8")):
        if language == "text":
            last = steps.pop()
            steps.append(Step(last.marks, last.commands, tuple(content.splitlines())))
        elif marks:
            steps.append(Step(tuple(marks.split()), content))
    return steps


def steps_of_way(way: str) -> Sequence[Step]:
    """Give the steps of one way through the page; those by hand are in all of them."""
    return [step for step in steps_of_page() if {"all", BY_HAND, way} & set(step.marks)]
