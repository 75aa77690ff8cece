"""Logging in to the admin page, and out of it: a token is shown once, a cookie stands for it from then on."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response, Security
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.access.audit import AuditEvent
from app.access.sessions import Session
from app.access.token_file import PREFIX
from app.access.tokens import BOOTSTRAP, Scope
from app.api.auth import COOKIE, check_origin, cookie, holder_of, peer_of, session_id_of, session_of
from app.api.problems import REQUEST_ID, problems
from app.api.resources import resources_of
from app.errors import Code

router = APIRouter(prefix="/api/session", tags=["access"], responses=problems(Code.UNAUTHORIZED, Code.INTERNAL))

_SHOWN_TOKEN = PREFIX + "0123456789abcdef" * 4
_EXAMPLE: dict[str, Any] = {
    "name": BOOTSTRAP,
    "scope": "admin",
    "csrf_token": _SHOWN_TOKEN,
    "expires_at": "2026-11-23T14:00:00Z",
}
_HINT = "The first token is the one line of <state dir>/api-token on the machine that this service runs on."


class Login(BaseModel):
    """Show a token."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"token": _SHOWN_TOKEN}})

    token: Annotated[SecretStr, Field(min_length=1, max_length=1024, description="A token of this service.")]


class SessionModel(BaseModel):
    """Describe the session that the request's cookie stands for."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    name: Annotated[str, Field(description="Name of the token that logged in; the audit log has it.")]
    scope: Annotated[Scope, Field(description="`read` looks, `admin` may do everything.")]
    csrf_token: Annotated[
        str, Field(description="Goes into `X-CSRF-Token` of each request but GET and HEAD that comes by cookie.")
    ]
    expires_at: Annotated[datetime, Field(description="When one has to log in again.")]

    @classmethod
    def of(cls, session: Session) -> "SessionModel":
        """Show a session to the page that it belongs to."""
        holder = session.holder
        return cls(name=holder.name, scope=holder.scope, csrf_token=session.csrf_token, expires_at=session.expires_at)


@router.post(
    "",
    operation_id="log_in",
    summary="Log in",
    description=(
        f"For browsers: sets the cookie `{COOKIE}`, which is as good as the token for 12 hours at most. It ends sooner "
        "when one logs out, when the token is removed or replaced, and when the service starts again."
    ),
    responses=problems(Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.INVALID_REQUEST, Code.TOO_MANY_ATTEMPTS),
)
async def log_in(request: Request, response: Response, shown: Annotated[Login, Body()]) -> SessionModel:
    """Begin a session in the place of the one that this browser had."""
    token = shown.token.get_secret_value().strip()
    holder = await holder_of(request, token, hint=_HINT)
    sessions = resources_of(request).sessions
    sessions.end(session_id_of(request))
    session_id, session = sessions.begin(token, holder)
    await _note(request, "log_in", session, status=200)
    response.set_cookie(COOKIE, session_id, **_flags(request))
    return SessionModel.of(session)


@router.get(
    "",
    operation_id="get_session",
    summary="Look at the session",
    description="What the cookie of the request stands for. A bearer token has no session.",
    dependencies=[Security(cookie)],
)
async def get_session(request: Request) -> SessionModel:
    """Tell the page whether somebody has logged in."""
    return SessionModel.of(session_of(request))


@router.delete(
    "",
    status_code=204,
    response_class=Response,
    operation_id="log_out",
    summary="Log out",
    description="Ends the session and takes the cookie away. Needs `X-CSRF-Token`.",
    dependencies=[Security(cookie)],
    responses=problems(Code.CSRF_FAILED),
)
async def log_out(request: Request, response: Response) -> None:
    """End the session."""
    session = session_of(request)
    await check_origin(request, session)
    resources_of(request).sessions.end(session_id_of(request))
    await _note(request, "log_out", session, status=204)
    response.delete_cookie(COOKIE, **_flags(request))


def _flags(request: Request) -> dict[str, Any]:
    """Say how browsers are to treat the cookie; without an age, they forget it when they are closed."""
    return {
        "path": request.scope.get("root_path") or "/",
        "secure": request.scope["scheme"] == "https",
        "httponly": True,
        "samesite": "strict",
    }


async def _note(request: Request, what: str, session: Session, *, status: int) -> None:
    await asyncio.to_thread(
        resources_of(request).audit.write,
        AuditEvent.REQUEST,
        what=what,
        by=session.holder.name,
        peer=peer_of(request),
        status=status,
        outcome="done",
        request_id=request.scope[REQUEST_ID],
    )
