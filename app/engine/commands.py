"""Commands in a running container: those of hooks, and the few that tell sizes."""

import asyncio
import re
from collections.abc import Sequence

from app.engine.base import CommandResult
from app.engine.client import Client
from app.engine.exec_stream import Command, ExecProcess, executing
from app.engine.look import NOT_RUN, capture
from app.engine.tail import Tail
from app.engine.tar_command import ENVIRONMENT, USER
from app.errors import Code, PartError

_OUTPUT_LIMIT = 4096
_LOOK_SECONDS = 10.0
# TLS knows no half-closed connection: there `head` ends the input after as many bytes as there are.
_COUNTED = 'n=$1; shift; head -c "$n" | "$@"'
# By POSIX, `df -P`: one line, and behind a name that may hold anything blocks, used, available, capacity, mount point.
_AVAILABLE = re.compile(r"\s\d+\s+-?\d+\s+(\d+)\s+(?:\d+%|-)\s+/.*\s*\Z")


async def run_command(client: Client, container: str, command: Sequence[str], stdin: bytes | None) -> CommandResult:
    """Run by way of a shell, so that it can be ended; where there is none, run it as it is; raises PartError."""
    result, started = await _attempt(client, container, command, stdin, has_shell=True)
    if result.exit_code in NOT_RUN and not started:
        result, _ = await _attempt(client, container, command, stdin, has_shell=False)
    return result


async def used_bytes(client: Client, container: str, path: str) -> int | None:
    """Estimate the bytes below a path with `du`; None where that can't be had."""
    kilobytes = (await _told(client, container, ["du", "-sk", path])).partition("\t")[0]
    return int(kilobytes) * 1024 if kilobytes.isdigit() else None


async def free_bytes(client: Client, container: str, path: str) -> int | None:
    """Give the free bytes below a path by `df`; None where that can't be had."""
    found = _AVAILABLE.search(await _told(client, container, ["df", "-Pk", path]))
    return int(found[1]) * 1024 if found else None


async def _told(client: Client, container: str, arguments: Sequence[str]) -> str:
    """Give what a command prints; nothing where it fails."""
    tail = Tail(_OUTPUT_LIMIT)
    command = Command(arguments, has_shell=False, user=USER, environment=ENVIRONMENT)
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            code, _ = await capture(client, container, command, tail=tail)
    except (PartError, TimeoutError):
        return ""
    return "" if code else tail.text


async def _attempt(
    client: Client, container: str, arguments: Sequence[str], stdin: bytes | None, *, has_shell: bool
) -> tuple[CommandResult, bool]:
    """Run the command to its end, and say besides whether a shell started it."""
    tail = Tail(_OUTPUT_LIMIT)
    if stdin is None:
        code, process = await capture(client, container, Command(arguments, has_shell), tail=tail, stderr=tail)
    elif client.endpoint.tls is None:
        code, process = await _fed(client, container, Command(arguments, has_shell, fed=True), stdin, tail)
    else:
        counted = ["sh", "-c", _COUNTED, "sh", str(len(stdin)), *arguments]
        code, process = await _fed(client, container, Command(counted, has_shell, fed=True), stdin, tail)
    return CommandResult(code, tail.text), process.pid is not None


async def _fed(client: Client, container: str, command: Command, stdin: bytes, tail: Tail) -> tuple[int, ExecProcess]:
    process = ExecProcess(client, container, command, on_stderr=tail.add, stall_seconds=None)
    async with executing(process):
        taken = await asyncio.to_thread(process.write, stdin, tail.add)
        await asyncio.to_thread(process.finish, tail.add)
        code = await process.exit_code()
    if taken < len(stdin) and code == 0:
        raise PartError(Code.STREAM_CUT, f"'{command.arguments[0]}' in {container} ended before its input was written")
    return code, process
