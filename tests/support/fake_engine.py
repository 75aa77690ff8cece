"""A fake Docker engine that speaks just enough of the API to inject faults."""

import asyncio
import contextlib
import json
import re
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.fake_writing import Taking, directory_tar, frame, take, take_chunks

__all__ = ["FakeContainer", "FakeEngine", "Fault", "Taking", "frame"]

_ABLE = b"tools\nCapEff:\t00000000a80425fb\n"
_HEAD = b"HTTP/1.1 %d %s\r\nConnection: close\r\n%s\r\n"
_HELP = {"gnu": "Usage: tar [OPTION...]\nGNU 'tar' saves files\n", "busybox": "BusyBox v1.35\nUsage: tar --exclude\n"}


@dataclass(slots=True)
class Fault:
    """Say what goes wrong with the streams (of tar, and of the archive endpoint); the rest of the API is sound.

    cut_at      the connection ends after this many raw bytes behind the HTTP head (frame headers and chunk sizes count)
    drained     after a cut, the process goes on and ends with `exit_code`, as when only the way to the engine broke
    reset       the cut is a reset instead of an orderly end (needs an engine on TCP)
    stall_at    nothing comes any more after this many raw bytes, until the client goes away
    exit_code   what tar ends with; None: the engine never says
    stderr      what tar says on standard error
    payload     at most this many bytes in a frame
    stream_id   the stream that tar's output comes on
    gone_after  once this many requests were answered, the engine answers no more (connections are closed)
    start_status  how the start of an exec is answered: 101, or 200 as some proxies do
    start       refuse to start an exec: status and message
    """

    cut_at: int | None = None
    drained: bool = False
    reset: bool = False
    stall_at: int | None = None
    exit_code: int | None = 0
    stderr: bytes = b""
    payload: int = 32768
    stream_id: int = 1
    gone_after: int | None = None
    start_status: int = 101
    start: tuple[int, str] | None = None


@dataclass(slots=True)
class FakeContainer:
    """Hold one container; `tar` is gnu, busybox or none; `commands` gives (exit code, output) by first word.

    `emptied` and `written` tell what was done to which path.
    """

    name: str
    volumes: dict[str, bytes]
    state: str = "running"
    tar: str = "gnu"
    labels: dict[str, str] = field(default_factory=dict)
    commands: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    emptied: list[str] = field(default_factory=list)
    written: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Exec:
    container: FakeContainer
    command: list[str]
    pid: int
    running: bool = False
    exit_code: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class FakeEngine:
    """Listen like an engine, on a unix socket at `path`, or on TCP where there is none; an async context manager.

        async with FakeEngine(tmp_path / "engine.sock") as fake:
            fake.add_container("cell-mail", {"/var/mail": tar_bytes})
            fake.fault = Fault(cut_at=1000)
            engine = DockerEngine(Endpoint.resolve({"DOCKER_HOST": fake.docker_host}), stall_seconds=5)

    `requests` holds every request as "GET /path", `signals` every (signal, pid) that was sent into a container. With
    `no_helpers` no container is made.
    A change of `fault`, or of `taking` for streams that are written, holds for streams that start after it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}
        self._heads: dict[asyncio.StreamWriter, str] = {}
        self._execs: dict[str, _Exec] = {}
        self.containers: dict[str, FakeContainer] = {}
        self.fault = Fault()
        self.taking = Taking()
        self.no_helpers = False
        self._stopped = asyncio.Event()
        self.requests: list[str] = []
        self.signals: list[tuple[str, int]] = []

    async def __aenter__(self) -> Self:
        if self._path is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        else:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def docker_host(self) -> str:
        """Give the address as DOCKER_HOST wants it."""
        if self._path is not None:
            return f"unix://{self._path}"
        assert self._server is not None
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Die: refuse new connections and cut those that are open."""
        if self._server is None:
            return
        self._server.close()
        self._stopped.set()
        for one in self._execs.values():
            one.ended.set()
        for writer in list(self._clients):
            writer.transport.abort()
        self._server = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def add_container(self, name: str, volumes: dict[str, bytes] | None = None, **more: Any) -> FakeContainer:
        """Add a container with volumes as tar bytes by path; see FakeContainer for what else can be said."""
        self.containers[name] = FakeContainer(name, volumes or {}, **more)
        return self.containers[name]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = reader
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            url = urlsplit(re.sub(r"^/v1\.\d+", "", target))
            self.requests.append(f"{method} {url.path}")
            self._heads[writer] = head
            if self.fault.gone_after is None or len(self.requests) <= self.fault.gone_after:
                await self._answer(method, url.path, parse_qs(url.query), body, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._clients.pop(writer, None)
            self._heads.pop(writer, None)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        if path == "/version":
            _json(writer, 200, {"Version": "20.10.0", "ApiVersion": "1.41"})
        elif path == "/_ping":
            _head(writer, 200, b"Content-Length: 2\r\n")
            writer.write(b"OK")
        elif path == "/containers/json":
            _json(writer, 200, [_listed(one) for one in self.containers.values()])
        elif path == "/containers/create" and self.no_helpers:
            _json(writer, 403, {"message": "this engine makes no containers"})
        elif path == "/containers/create":
            self._create(query["name"][0], json.loads(body))
            _json(writer, 201, {"Id": query["name"][0]})
        elif match := re.fullmatch(r"/containers/([^/]+)", path):
            gone = self.containers.pop(match[1], None)
            _json(writer, 404 if gone is None else 200, {"message": f"No such container: {match[1]}"})
        elif match := re.fullmatch(r"/containers/([^/]+)/(\w+)", path):
            await self._about_container(match[1], match[2], query, body, writer)
        elif match := re.fullmatch(r"/exec/([^/]+)/(\w+)", path):
            await self._about_exec(match[1], match[2], body, writer)
        else:
            _json(writer, 404, {"message": f"page not found: {method} {path}"})

    async def _about_container(
        self, name: str, what: str, query: dict[str, list[str]], body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        one = self.containers.get(name)
        if one is None:
            _json(writer, 404, {"message": f"No such container: {name}"})
        elif what == "archive" and "Transfer-Encoding" in self._heads[writer]:
            await self._unpack(one, query["path"][0], writer)
        elif what == "archive" and self._heads[writer].startswith("PUT"):
            _head(writer, 200)
        elif what == "json":
            _json(writer, 200, _inspected(one))
        elif what == "exec" and one.state != "running":
            _json(writer, 409, {"message": f"Container {name} is {one.state}"})
        elif what == "exec":
            exec_id = f"{len(self._execs):064x}"
            self._execs[exec_id] = _Exec(one, json.loads(body)["Cmd"], pid=len(self._execs) + 1)
            _json(writer, 201, {"Id": exec_id})
        elif what == "archive":
            await self._archive(one, query["path"][0], writer)
        else:
            one.state = {"pause": "paused", "stop": "exited"}.get(what, "running")
            _head(writer, 204)

    def _create(self, name: str, wanted: dict[str, Any]) -> None:
        """Make a helper: it shares what its one neighbour has, and is found by its label."""
        (beside,) = (self.containers[one] for one in wanted["HostConfig"]["VolumesFrom"])
        helper = FakeContainer(name, beside.volumes, state="created", tar="gnu", labels=wanted["Labels"])
        helper.emptied, helper.written = beside.emptied, beside.written
        self.containers[name] = helper

    async def _unpack(self, one: FakeContainer, path: str, writer: asyncio.StreamWriter) -> None:
        taking = self.taking
        one.written[path] = await take_chunks(self._clients[writer], taking)
        if taking.then == "stall":
            await self._stopped.wait()
        elif taking.then == "end":
            _json(writer, taking.status, {"message": taking.message})

    async def _archive(self, one: FakeContainer, asked: str, writer: asyncio.StreamWriter) -> None:
        path = asked.removesuffix("/.")
        if path not in one.volumes:
            _json(writer, 404, {"message": f"Could not find the file {path} in container {one.name}"})
            return
        if not asked.endswith("/."):
            _head(writer, 200, b"Content-Type: application/x-tar\r\n")
            writer.write(directory_tar(path, one.volumes[path]))
            return
        _head(writer, 200, b"Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n")
        await self._send(writer, _chunked(one.volumes[path], self.fault.payload))

    async def _about_exec(self, exec_id: str, what: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        one = self._execs[exec_id]
        if what == "json":
            state = {"Running": one.running, "ExitCode": one.exit_code, "ProcessConfig": {"tty": False}}
            _json(writer, 200, state)
        elif json.loads(body)["Detach"]:
            self._detached(one)
            _head(writer, 200)
        elif self.fault.start is not None:
            _json(writer, self.fault.start[0], {"message": self.fault.start[1]})
        else:
            _head(writer, self.fault.start_status, b"Content-Type: application/vnd.docker.raw-stream\r\n")
            await self._run(one, writer)

    def _detached(self, one: _Exec) -> None:
        """Run the one command that is started detached: `kill`, with the signal and the pid at its end."""
        signal, pid = one.command[-2], int(one.command[-1])
        self.signals.append((signal, pid))
        for other in self._execs.values():
            if other.pid == pid:
                other.running, other.exit_code = False, 143
                other.ended.set()

    async def _run(self, one: _Exec, writer: asyncio.StreamWriter) -> None:
        command = one.command
        if any("tar --help" in word for word in command):
            told = _HELP.get(one.container.tar, "").encode()
            writer.write(frame(1, self._looked(one, told) if "/proc/self/status" in command[2] else b"|\n" + told))
            one.exit_code = 0
            return
        if '"$$"' in " ".join(command[:3]):
            writer.write(frame(2, b"%d\n" % one.pid))
            command = command[4:]
        if command[0] == "tar" and {"-x", "--extract"} & set(command):
            await self._extract(one, command[-1], writer)
            return
        if command[0] == "sh" and command[-1] in one.container.volumes:
            if "rm -rf" in command[2]:
                one.container.emptied.append(command[-1])
            one.exit_code = 0
            writer.write(frame(1, f"{command[-1]}\n".encode()))
            return
        if command[0] == "tar":
            await self._tar(one, command[command.index("-C") + 1], writer)
            return
        one.exit_code, output = one.container.commands.get(command[0], (0, b""))
        writer.write(frame(1, output))

    @staticmethod
    def _looked(one: _Exec, told: bytes) -> bytes:
        """Answer a look for hands: where the directory is, what there is beside tar, tar's help, and a tar of it."""
        path = one.command[-1]
        place = f"{path}\n".encode() if path in one.container.volumes else b""
        return b"\0".join((place, _ABLE if told else b"", told, b""))

    async def _extract(self, one: _Exec, path: str, writer: asyncio.StreamWriter) -> None:
        taking = self.taking
        one.running = True
        writer.write(frame(1, taking.stderr) if taking.stderr else b"")
        await writer.drain()
        one.container.written[path] = await take(self._clients[writer], taking)
        if taking.then == "stall":
            await one.ended.wait()
        elif taking.then == "end":
            writer.write(frame(1, taking.last) if taking.last else b"")
            one.running, one.exit_code = False, taking.exit_code

    async def _tar(self, one: _Exec, path: str, writer: asyncio.StreamWriter) -> None:
        fault, data = self.fault, one.container.volumes.get(path)
        if data is None:
            writer.write(frame(2, f"tar: {path}: Cannot open: No such file or directory\n".encode()))
            one.exit_code = 2
            return
        raw = frame(2, fault.stderr) if fault.stderr else b""
        for at in range(0, len(data), fault.payload):
            raw += frame(fault.stream_id, data[at : at + fault.payload])
        one.running = True
        await self._send(writer, raw, one)
        if (fault.cut_at is None and fault.stall_at is None) or fault.drained:
            one.running, one.exit_code = False, fault.exit_code

    async def _send(self, writer: asyncio.StreamWriter, raw: bytes, one: _Exec | None = None) -> None:
        """Send the stream up to where the fault wants it, and do there what it says."""
        fault = self.fault
        stop = min((at for at in (fault.cut_at, fault.stall_at) if at is not None), default=len(raw))
        for at in range(0, stop, 1 << 16):
            writer.write(raw[at : min(stop, at + (1 << 16))])
            await writer.drain()
        if fault.stall_at is not None:
            await _stall(self._clients[writer], one)
        elif fault.cut_at is not None and fault.reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


async def _stall(reader: asyncio.StreamReader, one: _Exec | None) -> None:
    """Wait until the client goes away or the process is ended."""
    waits = [asyncio.ensure_future(reader.read())]
    if one is not None:
        waits.append(asyncio.ensure_future(one.ended.wait()))  # type: ignore[arg-type]  # only their end counts
    _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()


def _chunked(data: bytes, size: int) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def _head(writer: asyncio.StreamWriter, status: int, headers: bytes = b"") -> None:
    words = {101: b"UPGRADED", 200: b"OK", 201: b"Created", 204: b"No Content"}
    writer.write(_HEAD % (status, words.get(status, b"Error"), headers))


def _json(writer: asyncio.StreamWriter, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    _head(writer, status, b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body))
    writer.write(body)


def _listed(one: FakeContainer) -> dict[str, Any]:
    names, labels = [f"/{one.name}"], one.labels
    return {"Names": names, "State": one.state, "Image": "fake:1", "ImageID": "sha256:0", "Labels": labels}


def _inspected(one: FakeContainer) -> dict[str, Any]:
    config = {"Image": "fake:1", "Labels": one.labels}
    mounts = [{"Type": "bind", "Destination": path} for path in one.volumes]
    state = {"Status": one.state}
    found = {"Name": f"/{one.name}", "State": state, "Image": "sha256:0", "Config": config}
    return {**found, "HostConfig": {"UsernsMode": ""}, "Mounts": mounts}
