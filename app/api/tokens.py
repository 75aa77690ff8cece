"""Tokens for people and programs, so that each can be told from the others and taken away alone."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import Body, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from app.access.tokens import BOOTSTRAP, NamedToken, Scope
from app.api.auth import Asking, guarded_router
from app.api.problems import problems
from app.api.resources import Given
from app.errors import Code, InputError

_PREFIX = "/api/tokens"
lists = guarded_router(prefix=_PREFIX, tag="access", scope=Scope.ADMIN, audited=False)
router = guarded_router(prefix=_PREFIX, tag="access", scope=Scope.ADMIN)

_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_EXAMPLE: dict[str, Any] = {
    "name": "dashboard",
    "scope": "read",
    "created_at": "2026-11-23T02:00:00Z",
    "created_by": BOOTSTRAP,
}
_SHOWN: dict[str, Any] = {**_EXAMPLE, "token": "cellbk_" + "0123456789abcdef" * 4}


class TokenModel(BaseModel):
    """Describe a token; the token itself is known to nobody but its holder."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _EXAMPLE})

    name: str
    scope: Annotated[Scope, Field(description="`read` looks, `admin` may do everything.")]
    created_at: Annotated[datetime, Field(description="When the token that is valid now was made.")]
    created_by: Annotated[str, Field(description="Name of the token that asked for it.")]


class TokenShown(TokenModel):
    """Give a new token, which is shown this once."""

    model_config = ConfigDict(json_schema_extra={"example": _SHOWN})

    token: Annotated[str, Field(description="Keep it: only a digest of it stays here.")]

    @classmethod
    def of(cls, kept: NamedToken, token: str) -> "TokenShown":
        """Show a token with what is kept of it."""
        return cls(**TokenModel.model_validate(kept).model_dump(), token=token)


class TokenList(BaseModel):
    """Give every token that has a name."""

    model_config = ConfigDict(json_schema_extra={"example": {"tokens": [_EXAMPLE]}})

    tokens: list[TokenModel]


class TokenRequest(BaseModel):
    """Name a new token and say what it is good for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "dashboard", "scope": "read"}})

    name: Annotated[str, Field(pattern=_NAME, description="Stands in the audit log wherever the token is used.")]
    scope: Scope


Name = Annotated[str, Path(description="Name of a token, as the list gives it.", examples=["dashboard"])]


@lists.get(
    "",
    operation_id="list_tokens",
    summary="List tokens",
    description=(
        "Names, scopes and times of the named tokens, oldest first, never a token or a digest. The token of the first "
        f"start, which has the name `{BOOTSTRAP}`, is not among them: it is always there and cannot be removed."
    ),
    responses=problems(Code.INVALID_SETTING),
)
async def list_tokens(given: Given) -> TokenList:
    """List the named tokens."""
    known = await asyncio.to_thread(given.tokens.named.read)
    return TokenList(tokens=[TokenModel.model_validate(token) for token in known])


@router.post(
    "",
    status_code=201,
    operation_id="make_token",
    summary="Make a token",
    description="The answer has the token, this once. It is valid at once, in every process of the service.",
    responses=problems(
        Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.INVALID_REQUEST, Code.TOKEN_NAME_TAKEN, Code.INVALID_SETTING
    ),
)
async def make_token(
    request: Request, given: Given, asked_by: Asking, wanted: Annotated[TokenRequest, Body()]
) -> TokenShown:
    """Make a named token."""
    request.state.target = wanted.name
    if wanted.name == BOOTSTRAP:
        raise InputError(Code.TOKEN_NAME_TAKEN, f"'{BOOTSTRAP}' is the name of the token of the first start.")
    kept, token = await asyncio.to_thread(given.tokens.named.make, wanted.name, wanted.scope, by=asked_by)
    return TokenShown.of(kept, token)


@router.post(
    "/{name}/rotate",
    operation_id="rotate_token",
    summary="Replace a token",
    description="The answer has the new token, this once; the old one is valid no longer.",
    responses=problems(Code.TOKEN_NOT_FOUND, Code.INVALID_REQUEST, Code.INVALID_SETTING),
)
async def rotate_token(given: Given, asked_by: Asking, name: Name) -> TokenShown:
    """Replace a named token."""
    kept, token = await asyncio.to_thread(given.tokens.named.rotate, name, by=asked_by)
    return TokenShown.of(kept, token)


@router.delete(
    "/{name}",
    status_code=204,
    operation_id="remove_token",
    summary="Remove a token",
    description="Whoever holds it is refused from now on.",
    responses=problems(Code.TOKEN_NOT_FOUND, Code.INVALID_REQUEST, Code.INVALID_SETTING),
)
async def remove_token(given: Given, name: Name) -> None:
    """Remove a named token."""
    await asyncio.to_thread(given.tokens.named.remove, name)
