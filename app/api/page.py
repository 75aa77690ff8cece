"""The admin page: one document, and the scripts and styles that it is made of."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from typing_extensions import override

import app.web

_WEB = Path(app.web.__file__).parent
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
# kept, but asked for again each time: an update is seen at once
_CACHING = "no-cache"

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> FileResponse:
    """Show the admin page."""
    return FileResponse(_WEB / "index.html", headers={"content-security-policy": _POLICY, "cache-control": _CACHING})


def files() -> StaticFiles:
    """Serve what the page loads."""
    return _Files(directory=_WEB / "ui")


class _Files(StaticFiles):
    @override
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = _CACHING
        return response
