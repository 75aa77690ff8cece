"""Builds the service: its middlewares, its routes, and the lifespan that opens and closes every resource."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from typing_extensions import override

from app import __version__
from app.access.audit import AuditLog
from app.access.tokens import open_tokens
from app.api import (
    audit,
    backups,
    catalog,
    docs,
    health,
    jobs,
    metrics,
    page,
    reading,
    restores,
    retention,
    schedules,
    session,
    tokens,
    uploads,
    webhooks,
)
from app.api.middleware import MAX_BODY, BodyLimit, LastResort, RequestLog, SecurityHeaders
from app.api.noting import telling
from app.api.problems import add_handlers
from app.api.resources import Resources, State
from app.catalog.local import LocalStore
from app.cell.layout import load_layout
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.errors import Code, InputError
from app.jobs.rooms import open_jobs
from app.jobs.watch import watching
from app.settings import Settings
from app.webhooks.targets import default_target

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
        openapi_url="/openapi.json" if settings.docs else None,
        redirect_slashes=False,
        lifespan=_lifespan(settings, resources),
    )
    add_handlers(app)
    # the last one added is the outermost
    app.add_middleware(BodyLimit, limit=MAX_BODY, unlimited=("PUT", catalog.PREFIX + "/"))
    app.add_middleware(LastResort)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog)
    # `catalog` takes what nothing before it takes of the addresses below a backup id
    for router in (
        health.public,
        health.router,
        metrics.router,
        backups.router,
        restores.router,
        reading.router,
        uploads.router,
        catalog.downloads,
        catalog.router,
        jobs.router,
        retention.router,
        retention.previews,
        schedules.router,
        webhooks.router,
        tokens.lists,
        tokens.router,
        audit.router,
    ):
        app.include_router(router)
    if settings.page:
        app.include_router(session.router)
        app.include_router(page.router)
        app.mount("/ui", page.files(), name="ui")
    if settings.docs:
        app.include_router(docs.router)
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
    default_target(settings)  # a webhook for all jobs that cannot be used is said at the start
    async with AsyncExitStack() as stack:
        known = await asyncio.to_thread(open_tokens, settings)
        layout = await asyncio.to_thread(load_layout, settings.layout_file)
        opened = await stack.enter_async_context(open_jobs(settings, settings.redis_url.get_secret_value()))
        await stack.enter_async_context(watching(opened, settings))
        engine = DockerEngine(Endpoint.resolve(os.environ), stall_seconds=settings.stall_timeout)
        stack.push_async_callback(engine.close)
        resources = Resources(
            settings=settings,
            tokens=known,
            audit=AuditLog(settings.state_dir),
            layout=layout,
            jobs=opened,
            store=LocalStore(settings.archives_dir),
            engine=engine,
        )
        await stack.enter_async_context(telling(resources))
        yield resources
