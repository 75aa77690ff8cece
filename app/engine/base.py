"""What this service wants of a container engine."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.archive.dialects import Dialect


class ContainerState(StrEnum):
    """Name the states this service tells apart; `stopped` is every state in which nothing runs."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Way(StrEnum):
    """Name how a volume is read or written: `tar` in its container, in a helper beside it, or the archive endpoint."""

    EXEC = "exec"
    HELPER = "helper"
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


@dataclass(frozen=True, slots=True)
class WriteEnd:
    """Say how writing a volume ended well: tar's exit code (None: archive endpoint) and what it complained about."""

    exit_code: int | None
    warnings: tuple[str, ...] = ()


class VolumeSink(Protocol):
    """Take one volume as a tar stream with relative names (`./…`); write it in a thread, then ask how it ended.

    The stream must have its end-of-archive blocks. What is in its way is replaced, not written through: a file by
    unlinking it first, a link by removing the link. Directories stay; one that is not empty gives way to no file.
    """

    @property
    def way(self) -> Way:
        """Say how the volume is written."""

    @property
    def dialect(self) -> Dialect:
        """Say which tar headers the other side understands."""

    @property
    def plain(self) -> bool:
        """Say whether the stream is to be a plain one, as was offered: names keep the volume's prefix."""

    @property
    def loses(self) -> str | None:
        """Say what of a file this way does not carry, though the stream may have it; None where it carries all."""

    @property
    def spared(self) -> tuple[str, ...]:
        """Name the mounts in the volume that cannot be replaced, by relative path: nothing is to be written there."""

    def write(self, data: bytes | memoryview) -> None:
        """Hand over all of the data, blocking.

        Raises PartError: STREAM_CUT where the connection broke or tar has ended (ask `end` for its words),
        STREAM_STALLED where nothing was taken for too long, TAR_FAILED where `abort` was called.
        """

    def abort(self) -> None:
        """End a blocked `write` from any thread; safe to call at any time, more than once."""

    async def end(self) -> WriteEnd:
        """Say that the stream is over and how the write ended; call it once everything was written, or `write` raised.

        It ends well once the disk has everything, which may be another one than the cell's; where that is not known, a
        warning says so. Raises PartError with tar's own words: TAR_FAILED, VOLUME_FULL, STREAM_CUT where the
        engine does not know how it ended, STREAM_STALLED; VOLUME_INCOMPLETE where the disk refuses.
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

    def write_volume(
        self, container: str, path: str, *, empty: bool, plain: bool = False
    ) -> AbstractAsyncContextManager[VolumeSink]:
        """Open a volume for writing; leaving the block ends the process in the container, whatever happened.

        With `empty`, what is in the directory is removed first, the directory itself stays (it may be a mount point).
        `plain` offers a stream whose members keep the prefix of a volume and have no attributes, ACLs or sparse maps;
        whether that is wanted, the sink says.
        A running container is written to by its own tar. One that is stopped or paused, or has no tar, by a helper
        container that shares its mounts, made of an image that has a tar and removed afterwards; where that cannot be
        had, by the archive endpoint. Raises PartError: CONTAINER_MISSING, VOLUME_MISSING and ENGINE_UNREACHABLE before
        anything has changed, VOLUME_NOT_EMPTIED where it may have.
        """

    async def free_space(self, container: str, path: str) -> int | None:
        """Give the free bytes on the disk below a path, by `df` in the container; None where that can't be had."""

    async def signal(self, container: str, name: str) -> None:
        """Send a signal such as `USR1` to the main process of a running container."""

    async def sweep_helpers(self) -> list[str]:
        """Remove helper containers that a dead process left behind; give their names.

        A process that cannot be seen from here counts as dead: one in another container, or on another machine.
        """

    async def measure(self, container: str, path: str) -> int | None:
        """Estimate the bytes below a path with `du` in the container; None where that can't be had."""

    async def run(
        self, container: str, command: Sequence[str], *, timeout_seconds: float, stdin: bytes | None = None
    ) -> CommandResult:
        """Run a command in a running container, with `stdin` on its standard input.

        Raises PartError HOOK_TIMEOUT where it does not end in time (it is ended then).
        """

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
