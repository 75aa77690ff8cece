"""Who may ask for what: the token of the first start, and named ones, each with a scope."""

import hashlib
import hmac
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from app.access.token_file import NamedToken, Scope, TokenFile, new_token
from app.errors import BackupError, Code, InputError
from app.jobs.state_dir import private_file, unusable
from app.settings import Settings

__all__ = ["BOOTSTRAP", "Holder", "NamedToken", "Scope", "Tokens", "load_token", "open_tokens"]

BOOTSTRAP = "bootstrap"
_FILE = "api-token"
_WEAK = 20
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Name who holds a token, and what it allows."""

    name: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        """Tell whether this token is enough for what needs that scope."""
        return scope in {Scope.READ, self.scope}


class Tokens:
    """Know every token that is valid now: files that change count at once, without a restart."""

    def __init__(self, state_dir: Path, *, configured: str | None = None) -> None:
        path = state_dir / _FILE
        self.named = TokenFile(state_dir)
        self._configured = configured
        self._bootstrap: _Fresh[str] = _Fresh(path, lambda: _from_file(path))
        self._known: _Fresh[list[NamedToken]] = _Fresh(self.named.path, self.named.read)

    def holder_of(self, token: str) -> Holder | None:
        """Say whose token this is; None for one that is not valid. Takes as long for every token."""
        digest = hashlib.sha256(token.encode(errors="surrogatepass"))  # JSON can bring half a character
        return self.holder_with(digest.hexdigest())

    def holder_with(self, sha256: str) -> Holder | None:
        """Say whose the token with this digest is; None where it is not, or no longer, valid."""
        found = None
        for known, holder in self._all():
            if hmac.compare_digest(known, sha256):
                found = holder
        return found

    def _all(self) -> Iterator[tuple[str, Holder]]:
        bootstrap = self._configured or self._bootstrap.content()
        if bootstrap is not None:
            yield hashlib.sha256(bootstrap.encode()).hexdigest(), Holder(BOOTSTRAP, Scope.ADMIN)
        for token in self._known.content() or ():
            yield token.sha256, Holder(token.name, token.scope)


def open_tokens(settings: Settings) -> Tokens:
    """Give the tokens of this service; makes the bootstrap token on first use.

    Blocks. Raises InputError INVALID_SETTING where a file of tokens cannot be used.
    """
    token = load_token(settings)
    if len(token) < _WEAK:
        _log.warning("the API token has fewer than %d characters: it can be guessed", _WEAK)
    tokens = Tokens(settings.state_dir, configured=token if settings.api_token is not None else None)
    tokens.named.read()
    return tokens


def load_token(settings: Settings) -> str:
    """Give the bootstrap token: the configured one, else the one in the state directory, which is made on first use.

    Blocks. Raises InputError INVALID_SETTING where it is empty or its file cannot be read or written.
    """
    if settings.api_token is not None:
        return _checked(settings.api_token.get_secret_value(), "CELL_BACKUP_API_TOKEN")
    return _from_file(settings.state_dir / _FILE)


def _from_file(path: Path) -> str:
    try:
        return _checked(private_file(path, lambda: new_token().encode() + b"\n").decode("ascii"), str(path))
    except UnicodeDecodeError as error:
        raise unusable(path, "holds no token") from error


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise InputError(Code.INVALID_SETTING, f"The API token in {source} is empty, or is not plain ASCII text.")
    return token


@dataclass(slots=True)
class _Fresh(Generic[_T]):
    """Give what a file holds; it is read again when it has changed.

    A file that cannot be used gives None until it is mended: a token that was to be replaced must not stay valid.
    """

    path: Path
    read: Callable[[], _T]
    _mark: object = field(default_factory=object)
    _content: _T | None = None
    _told: object = None

    def content(self) -> _T | None:
        mark = self._look()
        if mark != self._mark or self._content is None:  # what could not be read may be readable now, unchanged
            self._mark = mark
            try:
                self._content, self._told = self.read(), None
            except BackupError as error:
                self._content = None
                self._tell((mark, error.message), error)
        return self._content

    def _tell(self, trouble: object, error: BackupError) -> None:
        if trouble != self._told:  # once, not with every request
            _log.error("no token of this file is valid: %s %s", error.message, error.hint)
        self._told = trouble

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
