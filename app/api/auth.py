"""Who may ask: whoever holds a token with the right scope, or has logged in with one.

What changes or gives away something is noted.
"""

import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, Security, params
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPBearer
from typing_extensions import override

from app.access.sessions import Session
from app.access.tokens import Holder, Scope
from app.api.attempts import Refusal
from app.api.noting import noted, tell
from app.api.problems import problems, with_problems
from app.api.resources import resources_of
from app.errors import Code, InputError

COOKIE = "cell_backup_session"
_SAFE = {"GET", "HEAD"}
_UNKNOWN_PEER = "unknown"
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]
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
cookie = APIKeyCookie(
    name=COOKIE,
    scheme_name="session",
    description=(
        "The cookie that POST /api/session sets, for the admin page. Each request but GET and HEAD also carries the "
        "session's CSRF token as `X-CSRF-Token`. It counts only where there is no `Authorization` header."
    ),
    auto_error=False,
)


def secured(scope: Scope) -> list[params.Depends]:
    """Tell the OpenAPI document that a token or a session with this scope is needed; `authorise` sees to it."""
    return [Security(bearer, scopes=[scope]), Security(cookie, scopes=[scope])]


async def authorise(request: Request, scope: Scope) -> Holder:
    """Say who asks, by token or else by the admin page's cookie; a wrong token is answered late.

    Raises InputError UNAUTHORIZED, CSRF_FAILED, FORBIDDEN where the token's scope is too small, or TOO_MANY_ATTEMPTS.
    """
    carries_token = "authorization" in request.headers or COOKIE not in request.cookies
    holder = await _by_token(request) if carries_token else await _by_cookie(request)
    request.state.holder = holder
    if not holder.may(scope):
        await _tell(request, Code.FORBIDDEN, holder)
        raise InputError(Code.FORBIDDEN, f"This needs a token with the scope '{scope}'; '{holder.name}' may only read.")
    return holder


async def holder_of(request: Request, token: str, *, hint: str | None = None) -> Holder:
    """Say whose token this is; one that is wrong is noted, and answered late, with InputError UNAUTHORIZED."""
    given = resources_of(request)
    holder = given.tokens.holder_of(token)
    if holder is None:
        await _tell(request, Code.UNAUTHORIZED)
        await given.attempts.failed(peer_of(request))
        raise InputError(Code.UNAUTHORIZED, "The token is not one of this service.", hint=hint)
    return holder


def session_id_of(request: Request) -> str:
    """Give the id of a session that the request came with, empty where it has none."""
    return request.cookies.get(COOKIE, "")


def session_of(request: Request) -> Session:
    """Give the session that the request came with; raise InputError UNAUTHORIZED."""
    given = resources_of(request)
    session = given.sessions.find(session_id_of(request), given.tokens)
    if session is None:
        raise InputError(Code.UNAUTHORIZED, "Nobody is logged in, or not any more.", hint="Log in with a token.")
    return session


async def check_origin(request: Request, session: Session) -> None:
    """Raise InputError CSRF_FAILED unless the page itself sent a request that came by cookie."""
    shown = request.headers.get("x-csrf-token", "")
    is_right = hmac.compare_digest(shown.encode(), session.csrf_token.encode())
    if not is_right or request.headers.get("sec-fetch-site") == "cross-site":
        await _tell(request, Code.CSRF_FAILED, session.holder)
        message = "The request came by cookie, and from another site or without the right X-CSRF-Token."
        raise InputError(Code.CSRF_FAILED, message)


async def _by_token(request: Request) -> Holder:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise InputError(Code.UNAUTHORIZED, "The request carries no bearer token.")
    return await holder_of(request, token)


async def _by_cookie(request: Request) -> Holder:
    session = session_of(request)
    if request.method not in _SAFE:
        await check_origin(request, session)
    return session.holder


async def _tell(request: Request, code: Code, holder: Holder | None = None) -> None:
    given = resources_of(request)
    what = getattr(request.scope.get("route"), "name", None) if holder else None
    refusal = Refusal(code, peer_of(request), holder.name if holder else None, what)
    await tell(given, given.refusals.note(refusal))


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
        looks = set(given.get("methods") or {"GET"}) <= _SAFE
        self.scope = Scope.READ if looks and not self.always_admin else Scope.ADMIN
        given["dependencies"] = [*(given.get("dependencies") or ()), *secured(self.scope)]
        codes = [Code.FORBIDDEN] if self.scope is Scope.ADMIN else []
        codes += [] if looks else [Code.CSRF_FAILED]
        codes += [Code.NOT_FOUND] if "{" in path else []  # a name or an id with a line break in it
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
