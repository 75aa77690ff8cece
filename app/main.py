"""Builds the service: its middlewares, its routes, and the lifespan that opens and closes every resource."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from typing_extensions import override

from app import __version__
from app.api import backups, catalog, docs, health, jobs, reading, restores
from app.api.auth import load_token
from app.api.middleware import MAX_BODY, BodyLimit, LastResort, RequestLog, SecurityHeaders
from app.api.problems import add_handlers
from app.api.resources import Resources, State
from app.catalog.local import LocalStore
from app.cell.layout import load_layout
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.errors import Code, InputError
from app.jobs.rooms import open_jobs
from app.settings import Settings

_Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[State]]


class Service(FastAPI):
    """Be the application, with its own OpenAPI document."""

    @override
    def openapi(self) -> dict[str, Any]:
        """Give the OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = docs.openapi_document(self.routes)
        return self.openapi_schema


def create_app(settings: Settings, *, resources: Resources | None = None) -> FastAPI:
    """Build the service; `resources` that are given are used and left open, else the lifespan opens its own."""
    app = Service(
        title=docs.TITLE,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(settings, resources),
    )
    add_handlers(app)
    # the last one added is the outermost
    app.add_middleware(BodyLimit, limit=MAX_BODY)
    app.add_middleware(LastResort)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog)
    # `catalog` takes what nothing before it takes of the addresses below a backup id
    for router in (
        docs.router,
        health.public,
        health.router,
        backups.router,
        restores.router,
        reading.router,
        catalog.router,
        jobs.router,
    ):
        app.include_router(router)
    app.mount("/assets", docs.assets(), name="assets")
    return app


def _lifespan(settings: Settings, resources: Resources | None) -> _Lifespan:
    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[State]:
        if resources is not None:
            yield State(resources=resources)
            return
        async with open_resources(settings) as own:
            yield State(resources=own)

    return opened


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open everything a request may need; raise InputError INVALID_SETTING or INVALID_LAYOUT."""
    if settings.redis_url is None:
        raise InputError(
            Code.INVALID_SETTING,
            "CELL_BACKUP_REDIS_URL is not set.",
            hint="Set it, or run 'cell-backup serve', which starts a server of its own.",
        )
    async with AsyncExitStack() as stack:
        token = await asyncio.to_thread(load_token, settings)
        layout = await asyncio.to_thread(load_layout, settings.layout_file)
        opened = await stack.enter_async_context(open_jobs(settings, settings.redis_url.get_secret_value()))
        engine = DockerEngine(Endpoint.resolve(os.environ), stall_seconds=settings.stall_timeout)
        stack.push_async_callback(engine.close)
        yield Resources(
            settings=settings,
            token=token,
            layout=layout,
            jobs=opened,
            store=LocalStore(settings.archives_dir),
            engine=engine,
        )
