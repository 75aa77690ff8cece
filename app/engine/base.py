"""What this service wants of a container engine."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ContainerState(StrEnum):
    """Name the states this service tells apart; `stopped` is every state in which nothing runs."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Way(StrEnum):
    """Name how a volume was read: by `tar` in the container, or by the engine's archive endpoint."""

    EXEC = "exec"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Describe the engine that answered."""

    version: str
    api_version: str


@dataclass(frozen=True, slots=True)
class Container:
    """Describe one container; `digest` is the image's id or repository digest."""

    name: str
    state: ContainerState
    image: str
    digest: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Hold how a command in a container ended; `output` is the last 4 KiB of both its streams."""

    exit_code: int
    output: str


@dataclass(frozen=True, slots=True)
class ReadEnd:
    """Say how reading a volume ended well: tar's exit code (None: archive endpoint) and what it complained about.

    `resumable` marks an end in which a tar gave up because a file shrank under it: the stream is cut inside that
    file, and reading the volume again from the next member on completes it.
    """

    exit_code: int | None
    warnings: tuple[str, ...] = ()
    resumable: bool = False


class VolumeStream(Protocol):
    """Carry one volume as a tar stream with relative names (`./…`); read it in a thread, then ask how it ended."""

    @property
    def way(self) -> Way:
        """Say how the volume is read."""

    @property
    def loses(self) -> str | None:
        """Say what of a file this way does not carry, though it may be there; None where it carries all."""

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as one read gives, blocking; 0 at the end.

        Raises PartError: STREAM_CUT where the connection broke, STREAM_STALLED where nothing came for too long,
        TAR_FAILED where `abort` was called.
        """

    def abort(self) -> None:
        """End a blocked `read_into` from any thread; safe to call at any time, more than once."""

    async def end(self) -> ReadEnd:
        """Say how the read ended; call it once `read_into` has given 0.

        Raises PartError with tar's own words: TAR_FAILED for an exit code that means data is missing,
        VOLUME_MISSING for a path that is not there, STREAM_CUT where the engine does not know how it ended.
        """


class Engine(Protocol):
    """Do what a backup needs of the engine; every method raises PartError, ENGINE_UNREACHABLE where it is away."""

    async def info(self) -> EngineInfo:
        """Ask the engine for its version."""

    async def containers(self) -> list[Container]:
        """List every container whose name begins with `cell-`, running or not, by name."""

    async def inspect(self, name: str) -> Container:
        """Describe one container by its name; CONTAINER_MISSING where there is none."""

    def read_volume(
        self, container: str, path: str, *, exclude: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[VolumeStream]:
        """Open a volume for reading; leaving the block ends the process in the container, whatever happened.

        `exclude` holds glob patterns; one matches a whole relative path or any tail of it after a slash, and what lies
        below a match is excluded too. An EXEC stream leaves excluded members out where the container's tar can (not
        every busybox can); the reader drops those that still come.
        """

    async def measure(self, container: str, path: str) -> int | None:
        """Estimate the bytes below a path with `du` in the container; None where that can't be had."""

    async def run(self, container: str, command: Sequence[str], *, timeout_seconds: float) -> CommandResult:
        """Run a command in a running container; HOOK_TIMEOUT where it does not end in time (it is ended then)."""

    async def pause(self, container: str) -> None:
        """Pause a running container; one that is paused already is left as it is."""

    async def unpause(self, container: str) -> None:
        """Let a paused container go on; one that is not paused is left as it is."""

    async def stop(self, container: str) -> None:
        """Stop a container; one that is stopped already is left as it is."""

    async def start(self, container: str) -> None:
        """Start a container; one that runs already is left as it is."""

    async def close(self) -> None:
        """Give back every connection."""
