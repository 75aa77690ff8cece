"""What the HTTP face works with; the lifespan of the application opens and closes it."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from app.access.audit import AuditLog
from app.access.sessions import Sessions
from app.access.tokens import Tokens
from app.api.attempts import Attempts, Refusals
from app.catalog.base import Store
from app.cell.layout import Layout
from app.engine.base import Engine
from app.jobs.rooms import Jobs
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Resources:
    """Hold everything a request may need; `derivation` lets one scrypt run at a time: it takes 128 MiB.

    `listing` lets one archive be read through at a time, so that threads are left for everything else;
    `scraping` does the same for what is measured. `closing` ends what would go on for as long as the client stays.
    """

    settings: Settings
    tokens: Tokens
    audit: AuditLog
    layout: Layout
    jobs: Jobs
    store: Store
    engine: Engine
    sessions: Sessions = field(default_factory=Sessions)
    attempts: Attempts = field(default_factory=Attempts)
    refusals: Refusals = field(default_factory=Refusals)
    derivation: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    listing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    scraping: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    closing: asyncio.Event = field(default_factory=asyncio.Event)


class State(TypedDict):
    """Name what the lifespan hands to every request."""

    resources: Resources


def resources_of(request: Request) -> Resources:
    """Give the resources of the application that serves the request."""
    resources: Resources = request.state.resources
    return resources


Given = Annotated[Resources, Depends(resources_of)]
