"""The file of named tokens: what each is called and allows, and a digest of it, never the token itself."""

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from app.errors import Code, InputError
from app.jobs.state_dir import locked, read_private, replace_private, unusable

# what scanners for leaked secrets know a token by, and what the log hides
PREFIX = "cellbk_"
SHAPE = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")
_LARGEST = 1 << 20


class Scope(StrEnum):
    """Say what a token is good for."""

    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class NamedToken:
    """Hold what is known of a token. It is 256 random bits, so that a plain digest of it tells nothing."""

    name: str
    scope: Scope
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created_at: datetime
    created_by: str


_Tokens = TypeAdapter(list[NamedToken])


def new_token() -> str:
    """Make a token."""
    return PREFIX + secrets.token_hex(32)


class TokenFile:
    """Keep the named tokens; several processes may write at the same time. Everything here blocks.

    Every method raises InputError INVALID_SETTING where the file cannot be used.
    """

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "tokens.json"

    def read(self) -> list[NamedToken]:
        """Give all tokens, oldest first."""
        try:
            content = read_private(self.path, longest=_LARGEST)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(self.path, error.strerror or "cannot be read") from error
        try:
            return _Tokens.validate_json(content)
        except ValidationError as error:
            raise unusable(self.path, "does not hold tokens", hint="Put a saved copy back, or remove it.") from error

    def make(self, name: str, scope: Scope, *, by: str, now: datetime | None = None) -> tuple[NamedToken, str]:
        """Add a token and give it, this once; raise InputError TOKEN_NAME_TAKEN."""
        with self._changing() as tokens:
            if any(token.name == name for token in tokens):
                raise InputError(Code.TOKEN_NAME_TAKEN, f"There is a token with the name '{name}'.")
            kept, token = _made(name, scope, by, now)
            tokens.append(kept)
        return kept, token

    def rotate(self, name: str, *, by: str, now: datetime | None = None) -> tuple[NamedToken, str]:
        """Put a new token in the place of one, and give it, this once; raise InputError TOKEN_NOT_FOUND."""
        with self._changing() as tokens:
            place = _find(tokens, name)
            kept, token = _made(name, tokens[place].scope, by, now)
            tokens[place] = kept
        return kept, token

    def remove(self, name: str) -> None:
        """Forget a token, which is valid no longer; raise InputError TOKEN_NOT_FOUND."""
        with self._changing() as tokens:
            del tokens[_find(tokens, name)]

    @contextmanager
    def _changing(self) -> Iterator[list[NamedToken]]:
        """Give the tokens to be changed, one process at a time, and write them unless that fails."""
        with locked(self.path):
            tokens = self.read()
            yield tokens
            content = _Tokens.dump_json(tokens, indent=1) + b"\n"
            if len(content) > _LARGEST:  # nobody could read it again
                raise unusable(self.path, "has no room for another token", hint="Remove tokens that nobody uses.")
            try:
                replace_private(self.path, content)
            except OSError as error:
                raise unusable(self.path, error.strerror or "cannot be written") from error


def _made(name: str, scope: Scope, by: str, now: datetime | None) -> tuple[NamedToken, str]:
    token = new_token()
    digest = hashlib.sha256(token.encode()).hexdigest()
    return NamedToken(name, scope, digest, now or datetime.now(UTC), by), token


def _find(tokens: list[NamedToken], name: str) -> int:
    for place, token in enumerate(tokens):
        if token.name == name:
            return place
    raise InputError(Code.TOKEN_NOT_FOUND, f"There is no token with the name '{name}'.")
