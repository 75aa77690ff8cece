"""Glob patterns for what a volume leaves out, as GNU tar's --exclude with --no-wildcards-match-slash reads them."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


class Excluder:
    """Match relative paths; a pattern matches a whole path or any tail of it after a slash, and all that lies below."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [pattern.removeprefix("./").strip("/").split("/") for pattern in patterns]

    def matches(self, path: bytes) -> bool:
        """Tell whether the path is left out."""
        if not self._patterns:
            return False
        names = path.decode("utf-8", "surrogateescape").strip("/").split("/")
        return any(
            all(map(fnmatchcase, names[at : at + len(pattern)], pattern))
            for pattern in self._patterns
            for at in range(len(names) - len(pattern) + 1)
        )
