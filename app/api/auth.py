"""Who may ask: whoever holds a token with the right scope. What changes or gives away something is noted."""

import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from typing_extensions import override

from app.api.attempts import Refusal
from app.api.noting import noted, tell
from app.api.problems import problems, with_problems
from app.api.resources import resources_of
from app.errors import Code, InputError
from app.tokens import Holder, Scope

_UNKNOWN_PEER = "unknown"
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_log = logging.getLogger(__name__)
bearer = HTTPBearer(
    scheme_name="token",
    description=(
        "A token of this service. The first one is CELL_BACKUP_API_TOKEN, else the one line of <state dir>/api-token, "
        "and has the scope `admin`; POST /api/tokens makes more. The scope `read` is enough to look at jobs, at what "
        "is known of backups and at what a plain one lists as its contents, at /ready and /metrics. Everything else "
        "needs `admin`: whatever changes something, downloads (an archive is the cell, with its keys), whatever needs "
        "a passphrase, tokens, and the audit log. Each operation names the scope it needs."
    ),
    auto_error=False,
)


async def authorise(request: Request, scope: Scope) -> Holder:
    """Say who asks; a wrong token is answered late.

    Raises InputError UNAUTHORIZED, FORBIDDEN where the token's scope is too small, or TOO_MANY_ATTEMPTS.
    """
    given = resources_of(request)
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise InputError(Code.UNAUTHORIZED, "The request carries no bearer token.")
    holder = given.tokens.holder_of(token)
    if holder is None:
        await tell(given, given.refusals.note(Refusal(Code.UNAUTHORIZED, peer_of(request))))
        await given.attempts.failed(peer_of(request))
        raise InputError(Code.UNAUTHORIZED, "The bearer token is not one of this service.")
    request.state.holder = holder
    if not holder.may(scope):
        what = getattr(request.scope.get("route"), "name", None)
        await tell(given, given.refusals.note(Refusal(Code.FORBIDDEN, peer_of(request), holder.name, what)))
        raise InputError(Code.FORBIDDEN, f"This needs a token with the scope '{scope}'; '{holder.name}' may only read.")
    return holder


def peer_of(request: Request) -> str:
    """Give the address the request came from, as the server knows it."""
    return request.client.host if request.client else _UNKNOWN_PEER


def asking(request: Request) -> str:
    """Give the name of the token that the request came with; for guarded routes."""
    holder: Holder = request.state.holder
    return holder.name


Asking = Annotated[str, Depends(asking)]


class _GuardedRoute(APIRoute):
    """Check the token before anything else is looked at: a dependency would run after the body has been parsed."""

    always_admin = False
    audited = True

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        looks = set(given.get("methods") or {"GET"}) <= {"GET", "HEAD"}
        self.scope = Scope.READ if looks and not self.always_admin else Scope.ADMIN
        given["dependencies"] = [*(given.get("dependencies") or ()), Security(bearer, scopes=[self.scope])]
        codes = (Code.FORBIDDEN,) if self.scope is Scope.ADMIN else ()
        given["responses"] = with_problems(given.get("responses") or {}, *codes, Code.TOO_MANY_ATTEMPTS)
        if given.get("description"):
            given["description"] = f"{given['description']} Needs the scope `{self.scope}`."
        super().__init__(path, endpoint, **given)

    @override
    def get_route_handler(self) -> _Handler:
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            holder = await authorise(request, self.scope)
            if "\n" in request.scope["path"]:  # the router takes a line break at the end for no character at all
                raise InputError(Code.NOT_FOUND, "No address has a line break in it.")
            if self.scope is Scope.READ or not self.audited:
                return await handler(request)
            return await noted(request, handler, what=self.name, by=holder.name, peer=peer_of(request))

        return guarded


class _AdminRoute(_GuardedRoute):
    always_admin = True


class _UnnotedAdminRoute(_AdminRoute):
    audited = False


def guarded_router(*, prefix: str = "", tag: str, scope: Scope | None = None, audited: bool = True) -> APIRouter:
    """Make a router whose every operation wants a token, and says so, and its scope, in the OpenAPI document.

    Without `scope`, GET and HEAD need `read` and everything else `admin`. What needs `admin` gets into the audit log,
    unless the router is not `audited`, which is for looking only.
    """
    route = _GuardedRoute
    if scope is Scope.ADMIN:
        route = _AdminRoute if audited else _UnnotedAdminRoute
    return APIRouter(prefix=prefix, tags=[tag], route_class=route, responses=problems(Code.UNAUTHORIZED, Code.INTERNAL))
