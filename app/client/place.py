"""Where the service is, and the token for it: out of the environment and files, never out of an argument."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import Code, InputError
from app.settings import load_settings

_LONGEST = 4096


class ClientSettings(BaseSettings):
    """Hold what only the command line reads; the same prefix and `.env` as the service's settings."""

    model_config = SettingsConfigDict(
        env_prefix="CELL_BACKUP_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    url: Annotated[str, Field(description="Address of the service.")] = "http://127.0.0.1:8300"
    token_file: Annotated[Path | None, Field(description="File with the token; unset: <state dir>/api-token.")] = None


@dataclass(frozen=True, slots=True)
class Place:
    """Name a service and hold a token for it."""

    url: str
    token: str = field(repr=False)


def find_service(url: str | None) -> Place:
    """Say where the service is; raise InputError INVALID_SETTING where there is no token for it.

    The token is the first line of CELL_BACKUP_TOKEN_FILE, else the token that the service of this machine has.
    """
    chosen = ClientSettings()
    return Place(service_url(url), _token(chosen.token_file))


def service_url(url: str | None) -> str:
    """Give the address that was named, else the one of the environment; raise InputError INVALID_SETTING."""
    chosen = (url or ClientSettings().url).rstrip("/")
    try:
        parts = urlsplit(chosen)
        port = parts.port
    except ValueError as error:
        raise _no_address() from error
    # a name or password in it would be shown in messages, and is nothing that the service knows
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or "@" in parts.netloc:
        raise _no_address()
    if parts.query or parts.fragment:
        raise _no_address()
    return chosen


def _no_address() -> InputError:
    message = "CELL_BACKUP_URL or --url is no address of a service."
    return InputError(Code.INVALID_SETTING, message, hint="Write it like http://127.0.0.1:8300, without a password.")


def _token(file: Path | None) -> str:
    settings = load_settings()
    if file is None and settings.api_token is not None:
        return settings.api_token.get_secret_value()
    path = file or settings.state_dir / "api-token"
    try:
        with path.expanduser().open("rb") as lines:
            token = lines.readline(_LONGEST).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no token"
        hint = "Let CELL_BACKUP_TOKEN_FILE name a file with a token, or run this as the service's own user."
        raise InputError(Code.INVALID_SETTING, f"The token in {path} cannot be read: {why}.", hint=hint) from error
    if not token.isprintable() or not token:
        raise InputError(Code.INVALID_SETTING, f"{path} holds no token.", hint="Put a token on its first line.")
    return token
