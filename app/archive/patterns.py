"""Glob patterns for what a volume leaves out, as GNU tar's --exclude with --no-wildcards-match-slash reads them."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase


class Excluder:
    """Match relative paths; a pattern matches a whole path or any tail of it after a slash, and all that lies below."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [_translated(pattern.removeprefix("./").strip("/")).split("/") for pattern in patterns]

    def matches(self, path: bytes) -> bool:
        """Tell whether the path is left out."""
        if not self._patterns or not path:
            return False
        # a tar in the container looks at `./a/b`, so `*/b` leaves out `b` too
        inside = path.decode("utf-8", "surrogateescape").strip("/").split("/")
        return any(_matches(pattern, inside if len(pattern) == 1 else [".", *inside]) for pattern in self._patterns)


def swallows_root(pattern: str) -> bool:
    """Tell whether a tar would leave out everything: the pattern, `.*` say, matches the volume's own name, `.`."""
    translated = _translated(pattern.removeprefix("./").strip("/"))
    return "/" not in translated and fnmatchcase(".", translated)


def _matches(pattern: list[str], names: list[str]) -> bool:
    starts = range(len(names) - len(pattern) + 1)
    return any(all(map(fnmatchcase, names[at : at + len(pattern)], pattern)) for at in starts)


def _translated(pattern: str) -> str:
    """Write as Python does what fnmatch(3) knows beyond that: `[^a]` and a backslash before any character."""
    plain = re.sub(r"\\(.)", lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], pattern)
    return plain.replace("[^", "[!")
