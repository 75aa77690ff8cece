"""The one aiodocker client, and the one place where its errors become this project's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiodocker
import aiohttp

from app.engine.endpoint import Endpoint
from app.errors import Code, PartError

CALL_SECONDS = 30.0


class Client:
    """Open aiodocker at the first use, so that an engine that is away now may come later."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._docker: aiodocker.Docker | None = None

    @contextlib.asynccontextmanager
    async def call(
        self, container: str | None = None, *, seconds: float = CALL_SECONDS
    ) -> AsyncIterator[aiodocker.Docker]:
        """Give the client for one call; raise PartError ENGINE_UNREACHABLE, CONTAINER_MISSING or ENGINE_ERROR."""
        try:
            async with asyncio.timeout(seconds):
                yield self._open()
        except aiodocker.DockerError as error:
            raise _translated(error, container) from error
        except (aiohttp.ClientError, OSError) as error:
            why = str(error) or f"no answer within {seconds:g} seconds"
            raise PartError(Code.ENGINE_UNREACHABLE, f"The Docker engine does not answer: {why}") from error

    async def request(
        self,
        path: str,
        method: str = "GET",
        *,
        container: str | None = None,
        seconds: float = CALL_SECONDS,
        data: Any = None,
        params: Any = None,
    ) -> Any:
        """Call the engine's REST interface and give its JSON; raises as `call` does."""
        async with self.call(container, seconds=seconds) as docker:
            return await docker._query_json(path, method, data=data, params=params)  # noqa: SLF001 (no public way)

    async def send(
        self,
        path: str,
        method: str,
        *,
        container: str | None = None,
        seconds: float = CALL_SECONDS,
        params: Any = None,
        tar: bytes | None = None,
    ) -> None:
        """Call the engine's REST interface where its answer says nothing but that it is done; raises as `call` does."""
        headers = {"Content-Type": "application/x-tar"} if tar is not None else None
        async with (
            self.call(container, seconds=seconds) as docker,
            docker._query(path, method, params=params, data=tar, headers=headers) as answer,  # noqa: SLF001 (no public way)
        ):
            await answer.read()

    async def first_bytes(self, path: str, size: int, *, container: str, params: Any) -> bytes:
        """Give no more than the first bytes of an answer, as they are; raises as `call` does."""
        got = b""
        async with (
            self.call(container) as docker,
            docker._query(path, params=params, headers={"Accept-Encoding": "identity"}) as answer,  # noqa: SLF001 (no public way)
        ):
            try:
                while len(got) < size and (more := await answer.content.read(size - len(got))):
                    got += more
            finally:
                answer.close()
        return got

    async def api_version(self) -> str:
        """Give the negotiated API version, such as v1.41."""
        async with self.call() as docker:
            await docker._check_version()  # noqa: SLF001 (no public way)
            return docker.api_version

    async def close(self) -> None:
        """Give back every connection."""
        if self._docker is not None:
            await self._docker.close()
            self._docker = None

    def _open(self) -> aiodocker.Docker:
        if self._docker is None:
            timeout = aiohttp.ClientTimeout(connect=5, sock_connect=5)
            self._docker = aiodocker.Docker(url=self.endpoint.url, ssl_context=self.endpoint.tls, timeout=timeout)
        return self._docker


def refused(status: int, message: str, container: str | None) -> PartError:
    """Turn an answer of the engine that is no success into an error."""
    if status == 404 and container is not None and "no such container" in message.lower():
        return PartError(Code.CONTAINER_MISSING, f"There is no container {container}")
    if status == 404 and container is not None and "could not find the file" in message.lower():
        return PartError(Code.VOLUME_MISSING, message.strip())
    return PartError(Code.ENGINE_ERROR, f"The Docker engine answered {status}: {message.strip()}")


def _translated(error: aiodocker.DockerError, container: str | None) -> PartError:
    if error.status == 900:
        return PartError(Code.ENGINE_UNREACHABLE, str(error.message))
    return refused(error.status, str(error.message), container)
