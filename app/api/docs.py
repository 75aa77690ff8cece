"""The OpenAPI document and a page that shows it, with nothing loaded from another host."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles

import app.web
from app import __version__
from app.api.problems import Problem

TITLE = "cell-backup"
_DESCRIPTION = """\
Saves a Personal Internet Cell, live data volumes included, into one archive and brings it back.

Everything below `/api`, and `/ready`, wants a token as `Authorization: Bearer <token>`; a token with the scope `read`
looks, one with the scope `admin` may do everything, and each operation says which it needs. The admin page shows its
token once, to POST /api/session, and has a cookie from then on. Long work is queued: a POST answers 202 with the
address of a job, which tells how far it is and how it ended. Every error is a problem document (RFC 9457) whose
`code` never changes its meaning and whose `hint` says what to do.
"""
_TAGS = [
    {"name": "backups", "description": "Make archives, look at them, bring the cell back from them, take them away."},
    {"name": "jobs", "description": "Follow and stop what was queued."},
    {"name": "schedules", "description": "What is done by itself, and when."},
    {"name": "retention", "description": "Which archives stay, and removing the others."},
    {"name": "webhooks", "description": "Who is told how jobs end, and what came of it."},
    {"name": "access", "description": "Tokens, sessions, and the log of who asked for what."},
    {"name": "health", "description": "For monitors."},
]
_PAGE = Path(app.web.__file__).with_name("docs.html")
# the page's scripts set styles on elements, which no hash can cover
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def page() -> FileResponse:
    """Show the documentation."""
    return FileResponse(_PAGE, headers={"content-security-policy": _PAGE_POLICY})


def assets() -> StaticFiles:
    """Serve the page's own script, and what an installed package ships of Swagger UI."""
    return StaticFiles(packages=[("fastapi_offline", "static"), ("app.web", "static")])


def openapi_document(routes: list[BaseRoute]) -> dict[str, Any]:
    """Make the OpenAPI document; problem documents are named in it though no route returns one."""
    document = get_openapi(title=TITLE, version=__version__, description=_DESCRIPTION, tags=_TAGS, routes=routes)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document["components"]["schemas"]
    schemas |= schema.pop("$defs", {})
    schemas["Problem"] = schema
    for operation in (item for path in document["paths"].values() for item in path.values()):
        operation["responses"] = dict(sorted(operation["responses"].items()))
    return document
