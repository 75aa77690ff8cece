"""How long a session lasts, and what ends it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.access import sessions as room
from app.access.sessions import LIFETIME, Sessions
from app.access.tokens import BOOTSTRAP, Holder, Scope, Tokens

FIRST = "the-first-token-of-the-tests"


@dataclass
class Clock:
    now: datetime = datetime(2026, 11, 23, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(now=clock)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path, configured=FIRST)


def begin(sessions: Sessions, tokens: Tokens, token: str = FIRST) -> str:
    holder = tokens.holder_of(token)
    assert holder is not None
    session_id, _ = sessions.begin(token, holder)
    return session_id


def test_a_session_lasts_its_time_and_not_longer(sessions: Sessions, tokens: Tokens, clock: Clock) -> None:
    session_id = begin(sessions, tokens)
    clock.now += LIFETIME - timedelta(seconds=1)
    found = sessions.find(session_id, tokens)
    assert found is not None
    assert found.holder == Holder(BOOTSTRAP, Scope.ADMIN)
    assert found.expires_at == clock.now + timedelta(seconds=1)
    clock.now = found.expires_at
    assert sessions.find(session_id, tokens) is None
    assert sessions._open == {}


def test_neither_the_id_nor_the_token_is_held(sessions: Sessions, tokens: Tokens) -> None:
    session_id = begin(sessions, tokens)
    assert session_id not in repr(sessions)
    assert FIRST not in repr(sessions)


def test_ids_and_csrf_tokens_are_all_different(sessions: Sessions, tokens: Tokens) -> None:
    ids = [begin(sessions, tokens) for _ in range(5)]
    found = [sessions.find(session_id, tokens) for session_id in ids]
    assert len({*ids, *(session.csrf_token for session in found if session is not None)}) == 10


@pytest.mark.parametrize("session_id", ["", "x", FIRST, "ö" * 64])
def test_what_is_no_id_finds_nothing(sessions: Sessions, tokens: Tokens, session_id: str) -> None:
    begin(sessions, tokens)
    assert sessions.find(session_id, tokens) is None
    sessions.end(session_id)


def test_a_session_that_is_ended_is_gone_and_others_stay(sessions: Sessions, tokens: Tokens) -> None:
    first, second = begin(sessions, tokens), begin(sessions, tokens)
    sessions.end(first)
    assert sessions.find(first, tokens) is None
    assert sessions.find(second, tokens) is not None


def test_a_token_that_is_removed_takes_its_sessions_along_for_good(sessions: Sessions, tokens: Tokens) -> None:
    _, token = tokens.named.make("phone", Scope.ADMIN, by="tests")
    kept = tokens.named.path.read_bytes()
    session_id, other = begin(sessions, tokens, token), begin(sessions, tokens)
    tokens.named.remove("phone")
    assert sessions.find(session_id, tokens) is None
    tokens.named.path.write_bytes(kept)
    assert tokens.holder_of(token) is not None
    assert sessions.find(session_id, tokens) is None
    assert sessions.find(other, tokens) is not None


def test_a_token_that_is_replaced_or_made_again_under_its_name_has_no_old_sessions(
    sessions: Sessions, tokens: Tokens
) -> None:
    _, token = tokens.named.make("phone", Scope.ADMIN, by="tests")
    before = begin(sessions, tokens, token)
    _, token = tokens.named.rotate("phone", by="tests")
    assert sessions.find(before, tokens) is None
    between = begin(sessions, tokens, token)
    tokens.named.remove("phone")
    tokens.named.make("phone", Scope.ADMIN, by="tests")
    assert sessions.find(between, tokens) is None


def test_another_scope_needs_another_session(sessions: Sessions, tokens: Tokens) -> None:
    _, token = tokens.named.make("phone", Scope.ADMIN, by="tests")
    session_id = begin(sessions, tokens, token)
    text = tokens.named.path.read_text()
    tokens.named.path.write_text(text.replace('"admin"', '"read"'))
    assert sessions.find(session_id, tokens) is None


@pytest.mark.parametrize("more", [1, 10])
def test_the_oldest_sessions_of_a_token_go_and_no_others(sessions: Sessions, tokens: Tokens, more: int) -> None:
    _, token = tokens.named.make("dashboard", Scope.READ, by="tests")
    other = begin(sessions, tokens)
    ids = [begin(sessions, tokens, token) for _ in range(room._MOST_OF_A_TOKEN + more)]
    alive = [session_id for session_id in ids if sessions.find(session_id, tokens) is not None]
    assert alive == ids[more:]
    assert sessions.find(other, tokens) is not None


def test_a_session_whose_time_is_over_is_forgotten_when_another_begins(
    sessions: Sessions, tokens: Tokens, clock: Clock
) -> None:
    begin(sessions, tokens)
    clock.now += LIFETIME
    begin(sessions, tokens)
    assert len(sessions._open) == 1
