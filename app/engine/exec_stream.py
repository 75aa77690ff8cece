"""Processes in a container, their streams carried over a connection of our own.

aiodocker's own exec stream is slow and gives a broken connection out as a normal end; so the exec is created and asked
about through it, but started and read here.
"""

import asyncio
import contextlib
import http.client
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.engine.client import Client, refused
from app.engine.connection import Connection
from app.engine.frames import FrameReader
from app.engine.shield import see_through
from app.errors import Code, PartError

logger = logging.getLogger(__name__)

# The engine cannot end an exec'd process, and closing the connection does not end it either: so the shell says its
# number on standard error before it becomes the command, and `kill` is run beside it.
_TELL_PID = ("sh", "-c", 'echo "$$" >&2; exec "$@"', "sh")
# The engine closes a connection that has standard input as soon as standard output ends, and may so cut off what is
# still to come on standard error: there both are one.
_TELL_PID_FED = ("sh", "-c", 'echo "$$" >&2; exec "$@" 2>&1', "sh")
_KILL = 'kill "-$1" "-$2" || kill "-$1" "$2"'  # the whole process group, else the process alone
_GRACE_SECONDS = 10.0  # on a busy machine the engine hears late that a process has ended
_TERM_SECONDS = 0.5  # a tar that is told to end does so at once, unless it stands still
_POLL_SECONDS = 0.05
_PID_LINE_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Command:
    """Say what to run; with `has_shell` the container must have `sh`, and the process can be ended early.

    One that is `fed` has a standard input, and with a shell its standard error comes on its standard output.
    """

    arguments: Sequence[str]
    has_shell: bool
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    fed: bool = False


class ExecProcess:
    """Run one command in a container, read its output, and write its input; `called` is its name in messages."""

    def __init__(
        self,
        client: Client,
        container: str,
        command: Command,
        *,
        on_stderr: Callable[[bytes], None],
        stall_seconds: float | None,
        called: str = "",
    ) -> None:
        self._client = client
        self._container = container
        self._command = command
        self._on_stderr = on_stderr
        self._called = called or container
        self._connection = Connection(client.endpoint, self._called, stall_seconds=stall_seconds)
        self._frames = FrameReader(self._connection, self._called, self._stderr)
        self._pid_line = b"" if command.has_shell else None
        self._exec_id = ""
        self._ended = False
        self.pid: int | None = None

    async def start(self) -> None:
        """Start the process; raise PartError ENGINE_UNREACHABLE, CONTAINER_MISSING or ENGINE_ERROR."""
        telling = _TELL_PID_FED if self._command.fed else _TELL_PID
        prefix = telling if self._command.has_shell else ()
        api_version = await self._client.api_version()
        self._exec_id = await _create(self._client, self._container, [*prefix, *self._command.arguments], self._command)
        await asyncio.to_thread(self._start, f"/{api_version}/exec/{self._exec_id}/start")

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer from standard output as far as it goes, blocking; 0 at its end; raises PartError."""
        return self._frames.read_into(buffer)

    def read_some(self, buffer: memoryview) -> int:
        """Give what comes next on standard output, blocking; 0 at its end; raises PartError."""
        return self._frames.read_some(buffer)

    def write(self, data: bytes | memoryview, on_stdout: Callable[[bytes], None]) -> int:
        """Write to standard input, blocking, taking in what comes out meanwhile; give how many bytes were taken.

        Fewer than all were taken where the process has ended, or the connection broke: its exit code tells which.
        Raises PartError STREAM_STALLED, STREAM_MALFORMED or, where it was aborted, TAR_FAILED.
        """
        with self._connection.writing():
            return self._connection.push(data, lambda: self._frames.take_frame(on_stdout))

    def finish(self, on_stdout: Callable[[bytes], None]) -> None:
        """End standard input, but over TLS, and take in the output to its end; raises as `write` does."""
        with self._connection.reading(), contextlib.suppress(ConnectionError):
            self._connection.half_close()
            while self._frames.take_frame(on_stdout):
                pass
        self._connection.check()

    def abort(self) -> None:
        """End a blocked call from any thread."""
        self._connection.abort()

    async def exit_code(self) -> int:
        """Give the exit code once the output has ended; raise PartError STREAM_CUT where the engine knows none."""
        for _ in range(round(_GRACE_SECONDS / _POLL_SECONDS)):
            try:
                state = await self._client.request(f"exec/{self._exec_id}/json")
            except PartError as error:
                message = f"The engine cannot say how the process in {self._called} ended: {error.message}"
                raise PartError(Code.STREAM_CUT, message) from error
            if not state["Running"] and state["ExitCode"] is not None:
                self._ended = True
                return int(state["ExitCode"])
            await asyncio.sleep(_POLL_SECONDS)
        how = "it still runs" if state["Running"] else "its exit code is unknown"
        raise PartError(Code.STREAM_CUT, f"The output of the process in {self._called} ended, but {how}")

    async def close(self) -> None:
        """Cut the connection and end the process where it still runs.

        Without a shell in the container nothing can be sent to it: a tar is ended by its next write (SIGPIPE, seen
        with the engine's versions 20.10), anything silent goes on until it is done.
        """
        self._connection.close()
        if self._ended or not self._exec_id:
            return
        try:
            await self._end_process()
        except PartError as error:
            logger.warning("A process may be left running in %s: %s", self._container, error.message)

    async def _end_process(self) -> None:
        for signal in ("TERM", "KILL"):
            if not await self._running():
                return
            if self.pid is None:
                logger.warning("A process is left running in %s, which has no shell to end it", self._container)
                return
            kill = ["sh", "-c", _KILL, "sh", signal, str(self.pid)]
            exec_id = await _create(self._client, self._container, kill, Command((), has_shell=False, user="0"))
            await self._client.request(f"exec/{exec_id}/start", "POST", data={"Detach": True, "Tty": False})
            for _ in range(round(_TERM_SECONDS / _POLL_SECONDS)):
                if not await self._running():
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def _running(self) -> bool:
        state = await self._client.request(f"exec/{self._exec_id}/json")
        return bool(state["Running"])

    def _start(self, path: str) -> None:
        """Ask for the raw stream: 101 from the engine, 200 from proxies that drop the upgrade."""
        self._connection.open()
        body = b'{"Detach":false,"Tty":false}'
        head = (
            f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
        with self._connection.reading():
            self._connection.socket.sendall(head.encode("ascii") + body)
            # Unbuffered, so that nothing of the stream behind the answer is swallowed.
            with self._connection.socket.makefile("rb", buffering=0) as answer:
                status_line = answer.readline(1024).split(None, 2)
                headers = http.client.parse_headers(answer)
                if len(status_line) < 2:
                    raise PartError(Code.STREAM_CUT, f"The engine gave no answer to an exec in {self._called}")
                status = int(status_line[1])
                if status not in {101, 200}:
                    message = answer.read(min(int(headers.get("Content-Length") or 0), 4096)) or b""
                    raise refused(status, message.decode(errors="replace"), self._container)
        self._frames.settle(lambda: self._pid_line is None)

    def _stderr(self, data: bytes) -> None:
        if self._pid_line is None:
            self._on_stderr(data)
            return
        line, newline, rest = (self._pid_line + data).partition(b"\n")
        if not newline and len(line) < _PID_LINE_LIMIT:
            self._pid_line = line
            return
        self._pid_line = None
        if newline and line.isdigit():
            self.pid = int(line)
            data = rest
        else:
            data = line + newline + rest
        if data:
            self._on_stderr(data)


@contextlib.asynccontextmanager
async def executing(process: ExecProcess) -> AsyncIterator[ExecProcess]:
    """Start the process; leaving the block ends it, whatever happened."""
    try:
        await process.start()
        yield process
    finally:
        await see_through(process.close())


async def _create(client: Client, container: str, arguments: Sequence[str], command: Command) -> str:
    wanted = {
        "AttachStdin": command.fed,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Cmd": list(arguments),
        "User": command.user,
        "Env": [f"{name}={value}" for name, value in command.environment.items()],
    }
    answer = await client.request(f"containers/{container}/exec", "POST", container=container, data=wanted)
    return str(answer["Id"])
