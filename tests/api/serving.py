"""The application behind a real server on a free port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from app.api.resources import Resources
from app.processes import Server


@asynccontextmanager
async def served(app: FastAPI, resources: Resources | None = None, *, grace: int | None = 5) -> AsyncIterator[str]:
    """Run the application; give its address. The socket listens already, so that no client comes too early.

    At the end open connections get `grace` seconds, or all the time they want.
    """
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=grace)
    server = Server(config, lambda: None, (lambda: None) if resources is None else resources.closing.set)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
