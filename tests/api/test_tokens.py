"""Named tokens through the API, and what happens to their file."""

import asyncio
import errno
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from app.access import token_file
from app.access.token_file import TokenFile
from app.access.tokens import BOOTSTRAP, Scope, Tokens, load_token
from app.api.resources import Resources
from app.errors import Code, InputError
from app.settings import Settings
from tests.api.conftest import TOKEN, assert_problem

TOKENS = "/api/tokens"


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def make(client: httpx2.AsyncClient, name: str = "dashboard", scope: str = "read") -> str:
    response = await client.post(TOKENS, json={"name": name, "scope": scope})
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    token: str = response.json()["token"]
    return token


async def status(client: httpx2.AsyncClient, token: str, path: str = "/api/jobs") -> int:
    return (await client.get(path, headers=bearing(token))).status_code


async def test_a_new_token_is_shown_once_and_kept_as_a_digest(client: httpx2.AsyncClient, settings: Settings) -> None:
    token = await make(client)
    assert re.fullmatch("cellbk_[0-9a-f]{64}", token)
    [listed] = (await client.get(TOKENS)).json()["tokens"]
    assert listed.keys() == {"name", "scope", "created_at", "created_by"}
    assert (listed["name"], listed["scope"], listed["created_by"]) == ("dashboard", "read", BOOTSTRAP)
    file = settings.state_dir / "tokens.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for path in settings.state_dir.iterdir():
        assert token.encode() not in path.read_bytes(), path
    [kept] = json.loads(file.read_text())
    assert kept.keys() == {"name", "scope", "sha256", "created_at", "created_by"}


async def test_two_tokens_are_never_the_same(client: httpx2.AsyncClient) -> None:
    assert len({await make(client, f"n{number}") for number in range(5)}) == 5


async def test_a_token_is_valid_from_its_making_to_its_removal(client: httpx2.AsyncClient) -> None:
    token = await make(client)
    assert await status(client, token) == 200
    assert (await client.delete(f"{TOKENS}/dashboard")).status_code == 204
    assert await status(client, token) == 401
    assert (await client.get(TOKENS)).json() == {"tokens": []}


async def test_a_token_that_is_rotated_is_replaced_with_its_scope(client: httpx2.AsyncClient) -> None:
    old = await make(client, scope="admin")
    rotated = await client.post(f"{TOKENS}/dashboard/rotate", headers=bearing(old))
    assert rotated.status_code == 200
    new = rotated.json()["token"]
    assert (await status(client, old), await status(client, new, TOKENS)) == (401, 200)
    assert rotated.json()["created_by"] == "dashboard"


async def test_names_are_taken_once_and_the_first_token_keeps_its_own(client: httpx2.AsyncClient) -> None:
    await make(client)
    for name in ("dashboard", BOOTSTRAP):
        response = await client.post(TOKENS, json={"name": name, "scope": "read"})
        assert_problem(response, 409, Code.TOKEN_NAME_TAKEN)


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "-a", "a\n", "ä", "a" * 65])
async def test_a_name_is_short_and_plain(client: httpx2.AsyncClient, name: str) -> None:
    response = await client.post(TOKENS, json={"name": name, "scope": "read"})
    assert_problem(response, 422, Code.INVALID_REQUEST)


@pytest.mark.parametrize("name", ["nobody", BOOTSTRAP])
async def test_what_has_no_name_in_the_list_is_neither_removed_nor_rotated(
    client: httpx2.AsyncClient, name: str
) -> None:
    assert_problem(await client.delete(f"{TOKENS}/{name}"), 404, Code.TOKEN_NOT_FOUND)
    assert_problem(await client.post(f"{TOKENS}/{name}/rotate"), 404, Code.TOKEN_NOT_FOUND)
    assert await status(client, TOKEN) == 200


async def test_what_another_process_changes_counts_without_a_restart(
    client: httpx2.AsyncClient, settings: Settings
) -> None:
    elsewhere = TokenFile(settings.state_dir)
    _, token = elsewhere.make("nightly", Scope.ADMIN, by="elsewhere")
    assert await status(client, token, TOKENS) == 200
    _, second = elsewhere.rotate("nightly", by="elsewhere")
    assert (await status(client, token), await status(client, second)) == (401, 200)
    elsewhere.remove("nightly")
    assert await status(client, second) == 401


async def test_a_file_that_cannot_be_used_makes_named_tokens_invalid_and_not_the_first_one(
    client: httpx2.AsyncClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    token = await make(client)
    file = settings.state_dir / "tokens.json"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert [await status(client, token) for _ in range(3)] == [401, 401, 401]
    assert len([record for record in caplog.records if "tokens.json" in record.getMessage()]) == 1
    assert_problem(await client.get(TOKENS), 422, Code.INVALID_SETTING)
    assert_problem(await client.post(TOKENS, json={"name": "b", "scope": "read"}), 422, Code.INVALID_SETTING)
    assert file.read_bytes() == whole[:-20]
    file.write_bytes(whole)
    assert await status(client, token) == 200
    file.chmod(0o644)
    assert await status(client, token) == 401


async def test_a_digest_that_is_none_makes_named_tokens_invalid_and_not_the_first_one(
    client: httpx2.AsyncClient, settings: Settings
) -> None:
    token = await make(client)
    file = settings.state_dir / "tokens.json"
    entries = json.loads(file.read_bytes())
    entries[0]["sha256"] = "é" * 64
    file.write_text(json.dumps(entries))
    assert [await status(client, token), await status(client, TOKEN)] == [401, 200]


def test_tokens_that_could_not_be_read_for_a_moment_are_valid_again_after_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_token(settings)
    tokens = Tokens(settings.state_dir)
    _, named = tokens.named.make("one", Scope.READ, by="tests")

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as full:
        full.setattr(os, "open", fail)
        assert [tokens.holder_of(token) for token in (first, named, first)] == [None, None, None]
    assert [tokens.holder_of(token) is not None for token in (first, named)] == [True, True]
    assert len([record for record in caplog.records if "Too many open files" in record.getMessage()]) == 2


def test_no_more_tokens_are_kept_than_can_be_read_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = TokenFile(settings.state_dir)
    tokens.make("one", Scope.READ, by="tests")
    monkeypatch.setattr(token_file, "_LARGEST", tokens.path.stat().st_size)
    with pytest.raises(InputError, match="no room for another") as caught:
        tokens.make("two", Scope.READ, by="tests")
    assert caught.value.code is Code.INVALID_SETTING
    assert [token.name for token in tokens.read()] == ["one"]
    tokens.remove("one")
    assert tokens.read() == []


def test_of_a_token_that_is_too_long_no_part_is_valid(settings: Settings) -> None:
    settings.state_dir.mkdir(mode=0o700)
    file = settings.state_dir / "api-token"
    file.touch(mode=0o600)
    file.write_text("a" * 5000)
    assert Tokens(settings.state_dir).holder_of("a" * 4096) is None
    with pytest.raises(InputError, match="is longer than 4096 bytes"):
        load_token(settings)


def test_the_first_token_is_rotated_by_its_file(settings: Settings) -> None:
    first = load_token(settings)
    tokens = Tokens(settings.state_dir)
    file = settings.state_dir / "api-token"
    assert tokens.holder_of(first) is not None
    file.write_text("a-token-of-the-operator\n")
    assert tokens.holder_of(first) is None
    assert tokens.holder_of("a-token-of-the-operator") is not None
    file.write_text("")  # half way through being written
    assert tokens.holder_of("a-token-of-the-operator") is None
    assert tokens.holder_of("") is None
    file.unlink()
    assert tokens.holder_of("a-token-of-the-operator") is None
    holder = tokens.holder_of(file.read_text().strip())
    assert holder is not None
    assert (holder.name, holder.scope) == (BOOTSTRAP, Scope.ADMIN)


def test_a_configured_token_takes_the_place_of_the_file(settings: Settings) -> None:
    first = load_token(settings)
    tokens = Tokens(settings.state_dir, configured="chosen")
    assert tokens.holder_of(first) is None
    assert tokens.holder_of("chosen") is not None


def test_a_change_that_fails_leaves_the_file_as_it_was(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = TokenFile(settings.state_dir)
    tokens.make("one", Scope.READ, by="tests")
    before = tokens.path.read_bytes()

    def full(_: Path, __: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="No space") as caught:
        tokens.make("two", Scope.READ, by="tests")
    assert caught.value.code is Code.INVALID_SETTING
    assert tokens.path.read_bytes() == before
    assert sorted(path.name for path in settings.state_dir.iterdir()) == ["tokens.json", "tokens.lock"]


MAKING = """
import sys
from pathlib import Path
from app.access.token_file import Scope, TokenFile
for number in range(20):
    TokenFile(Path(sys.argv[1])).make(f"{sys.argv[2]}-{number}", Scope.READ, by="tests")
"""


def test_of_processes_that_write_at_once_none_loses_a_token(settings: Settings) -> None:
    arguments = [sys.executable, "-c", MAKING, str(settings.state_dir)]
    processes = [subprocess.Popen([*arguments, name]) for name in ("a", "b", "c")]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(TokenFile(settings.state_dir).read()) == 60


async def test_requests_that_come_at_once_make_one_token_of_a_name(
    client: httpx2.AsyncClient, resources: Resources
) -> None:
    answers = await asyncio.gather(*(client.post(TOKENS, json={"name": "same", "scope": "read"}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len(resources.tokens.named.read()) == 1
