"""Looking into a running container beside tar: what it offers, and what changed while a volume was read."""

import asyncio
import math
import re
import time
from dataclasses import dataclass

from app.engine.client import Client
from app.engine.exec_stream import Command, ExecProcess, executing
from app.engine.tail import Tail
from app.engine.tar_command import ENVIRONMENT, USER, Tar, TarKind
from app.engine.tar_words import readable
from app.errors import Code, PartError

_SECONDS = 60.0
_KEPT = 1 << 20
_BUFFER = 1 << 16
_NAMES = 10
NOT_RUN = frozenset({126, 127})  # what shells and the engine answer for a command that is not there

# A pipe is a new inode, and its time the time of day in the clock and the words of the container's own `stat`.
_LOOK = 'true | stat -L -c %y /proc/self/fd/0 2>/dev/null; echo "|"; tar --help 2>&1 || test $? -lt 126'
_CHANGED = r'find "$1/." \( -type s -o -type f -mmin "-$2" \) -exec stat -c "%F|%y|%n" {} + 2>/dev/null'
_LINE = re.compile(r"(socket|regular(?: empty)? file)\|(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*)[^|]*\|(.*)", re.DOTALL)
_LINE_START = re.compile(r"\n(?=(?:socket|regular(?: empty)? file)\|\d{4}-)")


@dataclass(frozen=True, slots=True)
class Inside:
    """Hold what a running container offers: its tar, a shell, and its time when it was looked at.

    `since` is empty where the container cannot tell; then nothing can be known about files that change.
    """

    tar: Tar
    has_shell: bool
    since: str
    looked_at: float


@dataclass(frozen=True, slots=True)
class Found:
    """Name what was found below a path afterwards: sockets, and files that changed since."""

    sockets: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


async def capture(
    client: Client, container: str, command: Command, *, tail: Tail, stderr: Tail | None = None
) -> tuple[int, ExecProcess]:
    """Run a command to its end, keep the tail of its output, and give its exit code; raises PartError."""
    process = ExecProcess(client, container, command, on_stderr=(stderr or Tail(_BUFFER)).add, stall_seconds=None)
    async with executing(process):
        await asyncio.to_thread(_drain, process, tail)
        return await process.exit_code(), process


async def ask(
    client: Client, container: str, arguments: list[str], *, seconds: float = _SECONDS, has_shell: bool = False
) -> tuple[int, str]:
    """Run a command as root and give its exit code and the end of its standard output; raises PartError.

    Where it may take long, `has_shell` should say that there is one, so that it can be ended.
    """
    tail = Tail(_KEPT)
    command = Command(arguments, has_shell=has_shell, user=USER, environment=ENVIRONMENT)
    try:
        async with asyncio.timeout(seconds):
            code, _ = await capture(client, container, command, tail=tail)
    except TimeoutError as error:
        message = f"{container} did not answer '{arguments[0]}' within {seconds:g} seconds"
        raise PartError(Code.ENGINE_ERROR, message) from error
    return code, tail.text


async def look_inside(client: Client, container: str) -> Inside:
    """Find out what the running container offers; raises PartError."""
    looked_at = time.monotonic()
    code, output = await ask(client, container, ["sh", "-c", _LOOK])
    if code not in NOT_RUN:
        since, _, text = output.partition("|\n")
        return Inside(Tar.from_help("" if code else text), has_shell=True, since=since.strip(), looked_at=looked_at)
    code, text = await ask(client, container, ["tar", "--help"])
    tar = Tar(TarKind.NONE) if code in NOT_RUN else Tar.from_help(text)
    return Inside(tar, has_shell=False, since="", looked_at=looked_at)


async def look_again(client: Client, container: str, path: str, inside: Inside) -> Found:
    """Find sockets, and files that changed since the first look, as far as the container can tell; raises PartError."""
    if not inside.since:
        return Found()
    minutes = math.ceil((time.monotonic() - inside.looked_at) / 60) + 1
    _, output = await ask(client, container, ["sh", "-c", _CHANGED, "sh", path, str(minutes)])
    sockets, changed = [], []
    for line in _LINE_START.split(output.removesuffix("\n")):
        if match := _LINE.fullmatch(line):
            kind, changed_at, name = match.groups()
            if kind == "socket":
                sockets.append(name)
            elif changed_at >= inside.since[: len(changed_at)]:
                changed.append(name)
    return Found(tuple(sockets), tuple(changed))


def warnings_of(found: Found, path: str, *, sockets: bool) -> tuple[str, ...]:
    """Word what was found; sockets only where tar did not name them itself."""
    words = []
    if sockets and found.sockets:
        words.append(f"{_counted(len(found.sockets), 'socket')} left out: {_names(found.sockets, path)}")
    if found.changed:
        what = _counted(len(found.changed), "file")
        words.append(f"{what} changed while the volume was read: {_names(found.changed, path)}")
    return tuple(words)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _names(names: tuple[str, ...], path: str) -> str:
    root = f"{path.rstrip('/')}/"
    shown = [readable(name.removeprefix(root)) for name in names[:_NAMES]]
    return ", ".join([*shown, *([f"and {len(names) - _NAMES} more"] if len(names) > _NAMES else [])])


def _drain(process: ExecProcess, tail: Tail) -> None:
    buffer = memoryview(bytearray(_BUFFER))
    while got := process.read_some(buffer):
        tail.add(buffer[:got])
