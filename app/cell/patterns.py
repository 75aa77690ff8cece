"""Path patterns: shell-like globs on the path relative to the cell root.

`*` and `?` stay within one path part, `**` (a whole part) stands for any number of them, dotfiles match like others.
A directory is matched as its path with a closing slash, as if it were something inside: `data/vault/**` takes
`data/vault/` and all below it, `data/ddns*` takes no directory.

Names that are not UTF-8 are matched in their surrogateescaped form.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

RESERVED = ("services", ".cell-backup")  # top-level names that an archive uses for itself
ELSEWHERE = ".cell-backup-restore"  # where a restore works on other file systems than the cell root's

DEEP = "**"


def check_pattern(pattern: str) -> str:
    """Give the pattern back; raise ValueError with the reason where it is not one."""
    parts = pattern.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError("a pattern is relative to the cell root, without empty, '.' or '..' parts")
    if any(DEEP in part and part != DEEP for part in parts):
        raise ValueError("'**' is a path part of its own")
    if any(char in pattern for char in "[]\0"):
        raise ValueError("only '*', '?' and '**' are special; put '?' for a bracket")
    if parts[0] in RESERVED:
        raise ValueError(f"'{parts[0]}/' is where an archive keeps something else")
    return pattern


def matches(patterns: tuple[str, ...], path: str) -> bool:
    """Tell whether one of the patterns takes the path; a directory's path ends with a slash."""
    return _whole(patterns).fullmatch(path) is not None


def may_match_below(patterns: Iterable[str], directory: str) -> bool:
    """Tell whether one of the patterns could take something inside the directory (given without closing slash)."""
    return any(_reaches(pattern.split("/"), directory.split("/")) for pattern in patterns)


@lru_cache(maxsize=128)
def _whole(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_translate(pattern)})" for pattern in patterns) or r"(?!)", re.DOTALL)


def _translate(pattern: str) -> str:
    *parents, last = pattern.split("/")
    before = "".join("(?:[^/]+/)*" if part == DEEP else _part(part) + "/" for part in parents)
    return before + (".*" if last == DEEP else _part(last))


@lru_cache(maxsize=1024)
def _part(part: str) -> str:
    if part == "*":
        return "[^/]+"  # a directory's own path, `data/`, has no name after its slash
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char) for char in part)


def _reaches(pattern: list[str], directory: list[str]) -> bool:
    for part, name in zip(pattern, directory, strict=False):
        if part == DEEP:
            return True
        if not re.fullmatch(_part(part), name, re.DOTALL):
            return False
    return len(pattern) > len(directory)
