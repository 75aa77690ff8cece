r"""What tar says on standard error, and whether data is missing by it.

The words are those of GNU tar 1.34 and busybox 1.35 under LC_ALL=C. Every message begins with `tar: `; a name with a
newline goes on in lines that don't, which busybox prints as they are.
"""

import re

from app.engine.base import ReadEnd
from app.engine.tar_command import TarKind
from app.errors import Code, PartError

_PREFIX = b"tar: "
_KEPT_WARNINGS = 50
_KEPT_COMPLAINTS = 5
_MESSAGE_LIMIT = 1000

# Data that went away or changed while it was read, and what no tar can hold. Names begin with `./`, so that a volume
# whose own directory is missing is none of these.
_MILD = re.compile(
    r"""
    \./.+:\ (?:
        socket\ ignored | unknown\ file\ type
      | File\ removed\ before\ we\ read\ it | file\ changed\ as\ we\ read\ it
      | File\ shrank\ by\ .*
      | (?:Cannot\ [a-z]+:\ |Warning:\ Cannot\ [a-z]+:\ )?No\ such\ file\ or\ directory
    )
    | can't\ open\ '\./.*':\ No\ such\ file\ or\ directory
    """,
    re.VERBOSE | re.DOTALL,
)
_SUMMARY = re.compile(r"Exiting with failure status due to previous errors|error exit delayed from previous errors")
_SHORT_READ = "short read"
_PATH_GONE = re.compile(
    r"(?:can't change directory to '(?!\./).*'|(?!\./).+: Cannot open): (?:No such file or directory|Not a directory)",
    re.DOTALL,
)


class TarWords:
    """Take in tar's standard error as it comes, in bounded memory, and judge it with the exit code."""

    def __init__(self, container: str, path: str, kind: TarKind) -> None:
        self._container = container
        self._path = path
        # By its manual, GNU tar ends with 1 where files differ from what was archived, and with 2 where one is missing.
        self._highest_good = 1 if kind is TarKind.GNU else 0
        self._message = b""
        self._line = b""
        self._warnings: list[str] = []
        self._more = 0
        self._complaints: list[str] = []
        self._short_read = False
        self._path_gone = False

    def feed(self, data: bytes) -> None:
        """Take in some of standard error, cut anywhere."""
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            self._take(line)
        self._line = rest[:_MESSAGE_LIMIT]

    def judge(self, exit_code: int) -> ReadEnd:
        """Say how reading ended; raise PartError TAR_FAILED or VOLUME_MISSING."""
        self._take(self._line)
        self._take(_PREFIX)
        self._line = b""
        if exit_code not in {0, 1, 2}:  # a signal, or no tar at all
            raise self._failed(exit_code)
        if exit_code and self._path_gone:
            message = f"There is no directory {self._path} in {self._container}"
            raise PartError(Code.VOLUME_MISSING, message, exit_code=exit_code)
        mild = not self._complaints and (self._warnings or self._short_read)
        if exit_code > self._highest_good and not mild:
            raise self._failed(exit_code)
        return ReadEnd(exit_code, self._all_warnings(), resumable=self._short_read)

    def _take(self, line: bytes) -> None:
        """Add a line to the message it belongs to; a line that begins a message ends the one before."""
        if not line.startswith(_PREFIX):
            if line:
                self._message = (self._message + b"\n" + line)[:_MESSAGE_LIMIT]
            return
        if self._message:
            self._sort(self._message.decode(errors="backslashreplace").strip("\n"))
        self._message = line[len(_PREFIX) :]

    def _sort(self, message: str) -> None:
        if _SUMMARY.fullmatch(message):
            return
        if message == _SHORT_READ:
            self._short_read = True
        elif _MILD.fullmatch(message):
            self._warn(message)
        else:
            self._path_gone = self._path_gone or _PATH_GONE.fullmatch(message) is not None
            self._complaints = [*self._complaints, readable(message)][-_KEPT_COMPLAINTS:]

    def _warn(self, message: str) -> None:
        if len(self._warnings) < _KEPT_WARNINGS:
            self._warnings.append(readable(message))
        else:
            self._more += 1

    def _all_warnings(self) -> tuple[str, ...]:
        shrank = ("a file shrank while it was read, which ended tar",) if self._short_read else ()
        more = (f"and {self._more} more",) if self._more else ()
        return (*self._warnings, *more, *self._complaints, *shrank)

    def _failed(self, exit_code: int) -> PartError:
        words = "; ".join(self._complaints or self._warnings[-_KEPT_COMPLAINTS:]) or "it said nothing"
        message = f"tar in {self._container} exited with {exit_code}: {words}"
        return PartError(Code.TAR_FAILED, message, exit_code=exit_code)


def readable(text: str) -> str:
    """Give the text with what does not print escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
