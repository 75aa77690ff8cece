"""What tar says while it extracts, and whether data is missing by it.

The words are those of GNU tar 1.34 and busybox 1.35 under LC_ALL=C. Both end with 0 only where all they read was
written; GNU tar then has only warned, for instance of an attribute that the file system does not take.
"""

import re

from app.engine.base import WriteEnd
from app.engine.tar_words import readable
from app.errors import Code, PartError

_KEPT_FIRST = 50
_KEPT_LAST = 5
_LINE_LIMIT = 1000
# Where a disk has room for a part of a block only, GNU tar says how much it wrote, but not why.
_FULL = re.compile(r"No space left on device|Disk quota exceeded|Wrote only \d+ of \d+ bytes")
_CUT = re.compile(r"short read|Unexpected EOF in archive")
_SUMMARY = re.compile(r"Exiting with failure status due to previous errors|error exit delayed from previous errors")


class WriteWords:
    """Take in what tar says as it comes, in bounded memory, and judge it with the exit code."""

    def __init__(self, container: str) -> None:
        self._container = container
        self._line = b""
        self._first: list[str] = []
        self._last: list[str] = []
        self._more = 0
        self._full = False
        self._cut = False

    def feed(self, data: bytes) -> None:
        """Take in some of tar's words, cut anywhere."""
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            self._take(line)
        self._line = rest[:_LINE_LIMIT]

    def judge(self, exit_code: int) -> WriteEnd:
        """Say how writing ended; raise PartError TAR_FAILED, VOLUME_FULL or STREAM_CUT."""
        self._take(self._line)
        self._line = b""
        if exit_code == 0 and not self._cut:
            more = (f"and {self._more} more",) if self._more else ()
            return WriteEnd(exit_code, (*self._first, *more))
        words = "; ".join(self._last) or "it said nothing"
        code = Code.VOLUME_FULL if self._full else Code.TAR_FAILED if exit_code else Code.STREAM_CUT
        raise PartError(code, f"tar in {self._container} exited with {exit_code}: {words}", exit_code=exit_code)

    def _take(self, line: bytes) -> None:
        words = readable(line.removeprefix(b"tar: ")[:_LINE_LIMIT].decode(errors="backslashreplace"))
        if not words or _SUMMARY.fullmatch(words):
            return
        self._full = self._full or _FULL.search(words) is not None
        self._cut = self._cut or _CUT.fullmatch(words) is not None
        if len(self._first) < _KEPT_FIRST:
            self._first.append(words)
        else:
            self._more += 1
        # The complaint that says why is worth more than what follows from it.
        if len(self._last) < _KEPT_LAST or not self._full:
            self._last = [*self._last, words][-_KEPT_LAST:]
