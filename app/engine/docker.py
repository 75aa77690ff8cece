"""The Docker engine, behind the Protocol `Engine`."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from app.engine.archive_stream import ArchiveStream
from app.engine.base import CommandResult, Container, ContainerState, EngineInfo, VolumeSink, VolumeStream
from app.engine.client import Client
from app.engine.commands import free_bytes, run_command, used_bytes
from app.engine.endpoint import Endpoint
from app.engine.exec_stream import Command, ExecProcess, executing
from app.engine.helper import sweep
from app.engine.look import Inside, look_again, look_inside, warnings_of
from app.engine.owner import this_process
from app.engine.shield import see_through
from app.engine.tar_command import ENVIRONMENT, USER, TarKind
from app.engine.tar_stream import TarStream
from app.engine.tar_words import TarWords
from app.engine.target import Target
from app.engine.writing import checked_path, writing
from app.errors import Code, PartError

_STOP_SECONDS = 180.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class DockerEngine:
    """Reach a Docker engine; opens nothing before the first use."""

    def __init__(self, endpoint: Endpoint, *, stall_seconds: float) -> None:
        self._client = Client(endpoint)
        self._stall_seconds = stall_seconds
        self._owner = this_process()

    async def info(self) -> EngineInfo:
        """Ask the engine for its version."""
        async with self._client.call() as docker:
            answer = await docker.version()
        return EngineInfo(version=str(answer["Version"]), api_version=str(answer["ApiVersion"]))

    async def containers(self) -> list[Container]:
        """List every container whose name begins with `cell-`, running or not, by name."""
        filters = json.dumps({"name": ["^/?cell-"]})
        answer = await self._client.request("containers/json", params={"all": "true", "filters": filters})
        found = [_container(_own_name(item["Names"]), item["State"], item["Image"], item) for item in answer]
        return sorted((c for c in found if c.name.startswith("cell-")), key=lambda c: c.name)

    async def inspect(self, name: str) -> Container:
        """Describe one container by its name; CONTAINER_MISSING where there is none."""
        answer = await self._inspect(name)
        config = answer["Config"]
        labelled = {"Labels": config["Labels"], "ImageID": answer["Image"]}
        return _container(str(answer["Name"]).lstrip("/"), answer["State"]["Status"], config["Image"], labelled)

    async def _inspect(self, name: str) -> dict[str, Any]:
        if not _NAME.fullmatch(name):
            raise PartError(Code.CONTAINER_MISSING, f"There is no container {name!r}")
        answer: dict[str, Any] = await self._client.request(f"containers/{name}/json", container=name)
        return answer

    @contextlib.asynccontextmanager
    async def read_volume(
        self, container: str, path: str, *, exclude: Sequence[str] = ()
    ) -> AsyncIterator[VolumeStream]:
        """Open a volume for reading, by tar where the container runs and has one, else by the archive endpoint."""
        checked_path(container, path)
        state = (await self.inspect(container)).state
        inside = await look_inside(self._client, container) if state is ContainerState.RUNNING else None
        if inside is None or inside.tar.kind is TarKind.NONE:
            async with self._archive(container, path, inside) as stream:
                yield stream
        else:
            async with self._tar(container, path, inside, exclude) as stream:
                yield stream

    @contextlib.asynccontextmanager
    async def write_volume(
        self, container: str, path: str, *, empty: bool, plain: bool = False
    ) -> AsyncIterator[VolumeSink]:
        """Open a volume for writing, by tar in its container or in a helper beside it, else by the archive endpoint."""
        path = checked_path(container, path)
        target = Target.of(container, await self._inspect(container))
        async with writing(
            self._client, target, path, empty=empty, plain=plain, stall_seconds=self._stall_seconds, owner=self._owner
        ) as sink:
            yield sink

    async def sweep_helpers(self) -> list[str]:
        """Remove the helper containers of processes that are no more; give their names."""
        return await sweep(self._client)

    async def measure(self, container: str, path: str) -> int | None:
        """Estimate the bytes below a path with `du` in the container; None where that can't be had."""
        return await used_bytes(self._client, container, path)

    async def free_space(self, container: str, path: str) -> int | None:
        """Give the free bytes on the disk below a path, by `df` in the container; None where that can't be had."""
        return await free_bytes(self._client, container, path)

    async def run(
        self, container: str, command: Sequence[str], *, timeout_seconds: float, stdin: bytes | None = None
    ) -> CommandResult:
        """Run a command in a running container; HOOK_TIMEOUT where it does not end in time (it is ended then)."""
        await self._inspect(container)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await run_command(self._client, container, command, stdin)
        except TimeoutError as error:
            message = f"'{command[0]}' in {container} ran longer than {timeout_seconds:g} seconds and was ended"
            raise PartError(Code.HOOK_TIMEOUT, message) from error

    async def signal(self, container: str, name: str) -> None:
        """Send a signal such as `USR1` to the main process of a running container."""
        await self._inspect(container)
        await self._post(container, "kill", params={"signal": name})

    async def pause(self, container: str) -> None:
        """Pause a running container; one that is paused already is left as it is."""
        if (await self.inspect(container)).state is not ContainerState.PAUSED:
            await self._post(container, "pause")

    async def unpause(self, container: str) -> None:
        """Let a paused container go on; one that is not paused is left as it is."""
        if (await self.inspect(container)).state is ContainerState.PAUSED:
            await self._post(container, "unpause")

    async def stop(self, container: str) -> None:
        """Stop a container; one that is stopped already is left as it is."""
        await self._post(container, "stop")

    async def start(self, container: str) -> None:
        """Start a container; one that runs already is left as it is."""
        await self._post(container, "start")

    async def close(self) -> None:
        """Give back every connection."""
        await self._client.close()

    @contextlib.asynccontextmanager
    async def _archive(self, container: str, path: str, inside: Inside | None) -> AsyncIterator[VolumeStream]:
        stream = ArchiveStream(
            self._client.endpoint,
            container,
            path,
            stall_seconds=self._stall_seconds,
            running=inside is not None,
            look=self._looker(container, path, inside, sockets=True),
        )
        try:
            await stream.open(await self._client.api_version())
            yield stream
        finally:
            stream.close()

    @contextlib.asynccontextmanager
    async def _tar(
        self, container: str, path: str, inside: Inside, exclude: Sequence[str]
    ) -> AsyncIterator[VolumeStream]:
        words = TarWords(container, path, inside.tar.kind)
        arguments = inside.tar.command(path, exclude)
        command = Command(arguments, has_shell=inside.has_shell, user=USER, environment=ENVIRONMENT)
        process = ExecProcess(self._client, container, command, on_stderr=words.feed, stall_seconds=self._stall_seconds)
        # GNU tar names the files that changed by itself.
        tells = inside.tar.kind is TarKind.GNU
        async with executing(process):
            look = self._looker(container, path, None if tells else inside)
            yield TarStream(process, words, loses=inside.tar.loses, look=look)

    def _looker(
        self, container: str, path: str, inside: Inside | None, *, sockets: bool = False
    ) -> Callable[[], Awaitable[tuple[str, ...]]]:
        async def look() -> tuple[str, ...]:
            if inside is None:
                return ()
            try:
                found = await look_again(self._client, container, path, inside)
            except PartError as error:
                return (f"whether files changed while they were read is not known: {error.message}",)
            return warnings_of(found, path, sockets=sockets)

        return look

    async def _post(self, container: str, what: str, params: dict[str, str] | None = None) -> None:
        path = f"containers/{container}/{what}"
        await see_through(self._client.send(path, "POST", container=container, seconds=_STOP_SECONDS, params=params))


def _own_name(names: Sequence[str]) -> str:
    """Choose the container's own name: links add others, with a slash inside."""
    return min((name.lstrip("/") for name in names), key=lambda name: name.count("/"))


def _container(name: str, status: str, image: str, item: Mapping[str, Any]) -> Container:
    state = {"running": ContainerState.RUNNING, "paused": ContainerState.PAUSED}.get(status, ContainerState.STOPPED)
    return Container(name=name, state=state, image=image, digest=item["ImageID"], labels=dict(item["Labels"] or {}))
