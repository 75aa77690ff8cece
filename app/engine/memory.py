"""An engine in memory, for tests of whoever uses the Protocol `Engine`."""

import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.archive.dialects import Dialect
from app.engine.base import CommandResult, Container, ContainerState, EngineInfo, ReadEnd, VolumeSink, VolumeStream, Way
from app.engine.memory_writing import EMPTY_TAR, MemorySink, MemoryWriting, laid_over
from app.errors import Code, PartError

Answering = Callable[[Sequence[str], bytes | None], CommandResult]


@dataclass(slots=True)
class MemoryVolume:
    """Hold one volume as ready tar bytes, and script how reading it goes.

    After `fault_at` bytes `fault` is raised, or, where `hold` is set, reading blocks until it is aborted. `end` is what
    the stream says at its end. `planned` scripts the writings to come, the first of it the next one (they go well
    otherwise); `writings` holds those that were begun. A writing that ended well changes `tar`.
    """

    tar: bytes
    end: ReadEnd | PartError = field(default_factory=lambda: ReadEnd(0))
    fault: PartError | None = None
    fault_at: int = 0
    hold: bool = False
    planned: list[MemoryWriting] = field(default_factory=list)
    writings: list[MemoryWriting] = field(default_factory=list)

    @property
    def written(self) -> bytes:
        """Give what the last writing wrote."""
        return bytes(self.writings[-1].data)

    @property
    def emptied(self) -> bool:
        """Say whether the last writing emptied the directory first."""
        return self.writings[-1].emptied


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """Remember one command that was run."""

    container: str
    command: tuple[str, ...]
    stdin: bytes | None


@dataclass(slots=True)
class MemoryContainer:
    """Hold one container.

    `commands` scripts what commands answer, by their first word (exit code 0 otherwise); a callable is given the
    command and its standard input, and may raise. Without `has_tar` volumes are read by the archive endpoint and
    written by a helper, without `has_helper` they are written by the archive endpoint too.
    """

    volumes: dict[str, MemoryVolume] = field(default_factory=dict)
    state: ContainerState = ContainerState.RUNNING
    image: str = "test:1"
    digest: str = "sha256:0"
    labels: Mapping[str, str] = field(default_factory=dict)
    has_tar: bool = True
    has_helper: bool = True
    dialect: Dialect = Dialect.PAX
    free: int | None = 1 << 40
    commands: dict[str, CommandResult | PartError | Answering] = field(default_factory=dict)


class MemoryStream:
    """Carry the bytes of one volume; reading follows the Protocol `VolumeStream`."""

    def __init__(self, volume: MemoryVolume, way: Way) -> None:
        self._volume = volume
        self._way = way
        self._position = 0
        self._aborted = threading.Event()

    @property
    def way(self) -> Way:
        """Say how the volume would be read."""
        return self._way

    @property
    def loses(self) -> str | None:
        """Say that nothing is lost."""
        return None

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer up to the end or the scripted fault, and raise that at the next call."""
        volume = self._volume
        troubled = volume.hold or volume.fault is not None
        stop = min(volume.fault_at, len(volume.tar)) if troubled else len(volume.tar)
        if troubled and self._position >= stop:
            if volume.hold:
                self._aborted.wait()
            elif volume.fault is not None:
                raise volume.fault
        if self._aborted.is_set():
            raise PartError(Code.TAR_FAILED, "Reading was aborted")
        data = volume.tar[self._position : min(stop, self._position + len(buffer))]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def abort(self) -> None:
        """End a blocked `read_into` from any thread."""
        self._aborted.set()

    async def end(self) -> ReadEnd:
        """Give the scripted end."""
        if isinstance(self._volume.end, PartError):
            raise self._volume.end
        return self._volume.end


class MemoryEngine:
    """Play an engine that has the given containers.

    `faults` scripts errors by method name; `calls`, `ran` and `signals` record; `helpers` are swept by `sweep_helpers`.
    """

    def __init__(self, containers: dict[str, MemoryContainer] | None = None) -> None:
        self.machines = containers or {}
        self.faults: dict[str, PartError] = {}
        self.calls: list[tuple[str, str]] = []
        self.ran: list[MemoryRun] = []
        self.signals: list[tuple[str, str]] = []
        self.helpers: list[str] = []

    async def info(self) -> EngineInfo:
        """Give made-up versions."""
        self._note("info", "")
        return EngineInfo(version="0.0.0", api_version="1.41")

    async def containers(self) -> list[Container]:
        """List the containers whose names begin with `cell-`, by name."""
        self._note("containers", "")
        return [_described(n, m) for n, m in sorted(self.machines.items()) if n.startswith("cell-")]

    async def inspect(self, name: str) -> Container:
        """Describe one container; CONTAINER_MISSING where there is none."""
        return _described(name, self._machine("inspect", name))

    @contextlib.asynccontextmanager
    async def read_volume(
        self, container: str, path: str, *, exclude: Sequence[str] = ()
    ) -> AsyncIterator[VolumeStream]:
        """Open a volume; excluded members are in it, as the Protocol allows."""
        del exclude
        machine = self._machine("read_volume", container)
        volume = machine.volumes.get(path)
        missing = PartError(Code.VOLUME_MISSING, f"There is no directory {path} in {container}")
        way = Way.EXEC if machine.has_tar and machine.state is ContainerState.RUNNING else Way.ARCHIVE
        if volume is None and way is Way.ARCHIVE:
            raise missing
        stream = MemoryStream(volume or MemoryVolume(b"", end=missing), way)
        try:
            yield stream
        finally:
            stream.abort()

    @contextlib.asynccontextmanager
    async def write_volume(
        self, container: str, path: str, *, empty: bool, plain: bool = False
    ) -> AsyncIterator[VolumeSink]:
        """Open a volume for writing, as the next of its planned writings goes."""
        machine = self._machine("write_volume", container)
        volume = machine.volumes.get(path)
        if volume is None:
            raise PartError(Code.VOLUME_MISSING, f"There is no directory {path} in {container}")
        writing = volume.planned.pop(0) if volume.planned else MemoryWriting()
        if writing.refused is not None:
            raise writing.refused
        volume.writings.append(writing)
        if empty:
            writing.emptied = True
            volume.tar = EMPTY_TAR
        way = _way_of_writing(machine)
        dialect = Dialect.GO if way is Way.ARCHIVE else machine.dialect
        plain = plain and empty and dialect is Dialect.PAX and not writing.spared
        sink = MemorySink(writing, way, dialect, plain=plain)
        try:
            yield sink
        finally:
            sink.abort()
            if writing.ended:
                volume.tar = bytes(writing.data) if empty else laid_over(volume.tar, bytes(writing.data))

    async def free_space(self, container: str, path: str) -> int | None:
        """Give what was scripted; None where the container does not run or has no such volume."""
        machine = self.machines.get(container)
        if machine is None or machine.state is not ContainerState.RUNNING or path not in machine.volumes:
            return None
        return machine.free

    async def signal(self, container: str, name: str) -> None:
        """Record the signal."""
        self._running("signal", container)
        self.signals.append((container, name))

    async def sweep_helpers(self) -> list[str]:
        """Give the helpers once."""
        self._note("sweep_helpers", "")
        swept, self.helpers = self.helpers, []
        return swept

    async def measure(self, container: str, path: str) -> int | None:
        """Give the size of the volume's tar; None where it is not to be had."""
        machine = self.machines.get(container)
        if machine is None or machine.state is not ContainerState.RUNNING or path not in machine.volumes:
            return None
        return len(machine.volumes[path].tar)

    async def run(
        self, container: str, command: Sequence[str], *, timeout_seconds: float, stdin: bytes | None = None
    ) -> CommandResult:
        """Give what was scripted for the command's first word."""
        del timeout_seconds
        machine = self._running("run", container)
        self.ran.append(MemoryRun(container, tuple(command), stdin))
        answer = machine.commands.get(command[0], CommandResult(0, ""))
        result = answer(command, stdin) if callable(answer) else answer
        if isinstance(result, PartError):
            raise result
        return result

    async def pause(self, container: str) -> None:
        """Pause a running container."""
        machine = self._machine("pause", container)
        if machine.state is ContainerState.STOPPED:
            raise _does_not_run(container)
        machine.state = ContainerState.PAUSED

    async def unpause(self, container: str) -> None:
        """Let a paused container go on."""
        machine = self._machine("unpause", container)
        if machine.state is ContainerState.PAUSED:
            machine.state = ContainerState.RUNNING

    async def stop(self, container: str) -> None:
        """Stop a container."""
        self._machine("stop", container).state = ContainerState.STOPPED

    async def start(self, container: str) -> None:
        """Start a container that is stopped."""
        machine = self._machine("start", container)
        if machine.state is ContainerState.STOPPED:
            machine.state = ContainerState.RUNNING

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def _note(self, method: str, container: str) -> None:
        self.calls.append((method, container))
        if method in self.faults:
            raise self.faults[method]

    def _machine(self, method: str, container: str) -> MemoryContainer:
        self._note(method, container)
        if container not in self.machines:
            raise PartError(Code.CONTAINER_MISSING, f"There is no container {container}")
        return self.machines[container]

    def _running(self, method: str, container: str) -> MemoryContainer:
        machine = self._machine(method, container)
        if machine.state is not ContainerState.RUNNING:
            raise _does_not_run(container)
        return machine


def _does_not_run(container: str) -> PartError:
    return PartError(Code.ENGINE_ERROR, f"The engine answered 409: {container} does not run")


def _way_of_writing(machine: MemoryContainer) -> Way:
    if machine.has_tar and machine.state is ContainerState.RUNNING:
        return Way.EXEC
    return Way.HELPER if machine.has_helper else Way.ARCHIVE


def _described(name: str, machine: MemoryContainer) -> Container:
    return Container(name, machine.state, machine.image, machine.digest, dict(machine.labels))
