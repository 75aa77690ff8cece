"""Who may ask: whoever holds the bearer token."""

import hmac
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from typing_extensions import override

from app.api.problems import problems
from app.api.resources import resources_of
from app.errors import Code, InputError
from app.jobs.state_dir import private_file, unusable
from app.settings import Settings

TOKEN_FILE = "api-token"  # noqa: S105 - the name of the file, not what it holds
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_bearer = HTTPBearer(
    scheme_name="token",
    description="The token of this service: CELL_BACKUP_API_TOKEN, else the one line of <state dir>/api-token.",
    auto_error=False,
)


def load_token(settings: Settings) -> str:
    """Give the API token: the configured one, else the one in the state directory, which is made on first use.

    Blocks. Raises InputError INVALID_SETTING where it is empty or its file cannot be read or written.
    """
    if settings.api_token is not None:
        return _checked(settings.api_token.get_secret_value(), "CELL_BACKUP_API_TOKEN")
    path = settings.state_dir / TOKEN_FILE
    try:
        return _checked(
            private_file(path, lambda: secrets.token_urlsafe(32).encode() + b"\n").decode("ascii"), str(path)
        )
    except UnicodeDecodeError as error:
        raise unusable(path, "holds no token") from error


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise InputError(Code.INVALID_SETTING, f"The API token in {source} is empty, or is not plain ASCII text.")
    return token


def check_token(header: str | None, token: str) -> None:
    """Raise InputError UNAUTHORIZED unless the Authorization header holds the token."""
    scheme, _, given = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        raise InputError(Code.UNAUTHORIZED, "The request carries no bearer token.")
    # bytes, because compare_digest takes no other text than ASCII
    if not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise InputError(Code.UNAUTHORIZED, "The bearer token is not the one of this service.")


class _GuardedRoute(APIRoute):
    """Check the token before anything else is looked at: a dependency would run after the body has been parsed."""

    @override
    def get_route_handler(self) -> _Handler:
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            check_token(request.headers.get("authorization"), resources_of(request).token)
            if "\n" in request.scope["path"]:  # the router takes a line break at the end for no character at all
                raise InputError(Code.NOT_FOUND, "No address has a line break in it.")
            return await handler(request)

        return guarded


def guarded_router(*, prefix: str = "", tag: str) -> APIRouter:
    """Make a router whose every operation wants the token, and says so in the OpenAPI document."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=_GuardedRoute,
        dependencies=[Depends(_bearer)],
        responses=problems(Code.UNAUTHORIZED, Code.INTERNAL),
    )
