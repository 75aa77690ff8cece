"""Sessions of the admin page: who has logged in with a token, held in memory for half a day.

A process that starts again knows none of them: the page asks to log in again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from app.access.token_file import new_token
from app.access.tokens import Holder, Tokens

LIFETIME = timedelta(hours=12)
_MOST_OF_A_TOKEN = 32


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Session:
    """Tell who has logged in. The CSRF token is what only the page itself can know."""

    holder: Holder
    token_sha256: str
    csrf_token: str
    expires_at: datetime


@dataclass(slots=True)
class Sessions:
    """Keep sessions; the oldest of a token goes where it has too many, so that no other holder is put out."""

    now: Callable[[], datetime] = _now
    _open: dict[str, Session] = field(default_factory=dict)

    def begin(self, token: str, holder: Holder) -> tuple[str, Session]:
        """Begin a session of whoever holds this token; give its id, of which only a digest stays here."""
        session_id = new_token()  # 256 random bits, in the shape that the log hides
        session = Session(holder, _digest(token), new_token(), self.now() + LIFETIME)
        self._make_room(session.token_sha256)
        self._open[_digest(session_id)] = session
        return session_id, session

    def find(self, session_id: str, tokens: Tokens) -> Session | None:
        """Give a session that goes on; it ends with its time, and with any change of the token it began with."""
        session = self._open.get(_digest(session_id))
        if session is None:
            return None
        if self.now() < session.expires_at and tokens.holder_with(session.token_sha256) == session.holder:
            return session
        self.end(session_id)
        return None

    def end(self, session_id: str) -> None:
        """End a session, if there is one."""
        self._open.pop(_digest(session_id), None)

    def _make_room(self, token_sha256: str) -> None:
        now = self.now()
        self._open = {key: session for key, session in self._open.items() if now < session.expires_at}
        same = [key for key, session in self._open.items() if session.token_sha256 == token_sha256]
        for key in same[::-1][_MOST_OF_A_TOKEN - 1 :]:  # the newest ones stay
            del self._open[key]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
