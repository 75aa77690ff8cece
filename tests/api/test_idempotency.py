"""A request that is sent again, because its answer was lost, makes nothing a second time."""

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from app.access.tokens import Scope
from app.api.resources import Resources
from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.errors import Code, UnavailableError
from app.jobs.records import Job, JobState
from app.jobs.rooms import MemoryJobs, open_jobs
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import ENCRYPTED, PASSPHRASE, PLAIN, TOKEN, assert_nothing_queued, assert_problem, client_of
from tests.support.redis_server import RedisServer

KEY = "0d6f2c1e-52a3-4a86-b6a5-6ad0a1a3c7de"
BACKUP, RESTORE, VERIFY = (
    "/api/config/backup",
    f"/api/config/restore/{ENCRYPTED}",
    f"/api/config/backups/{ENCRYPTED}/verify",
)


async def sent(client: httpx2.AsyncClient, address: str, body: object = None, key: str = KEY) -> httpx2.Response:
    return await client.post(address, json=body or {"passphrase": PASSPHRASE}, headers={"Idempotency-Key": key})


async def the_one_job(jobs: MemoryJobs) -> Job:
    [job], total = await jobs.store.page(limit=10)
    assert total == 1
    assert [queued.job_id for queued in jobs.queue.enqueued] == [job.job_id]
    assert list(jobs.secrets._secrets) == [job.job_id]
    return job


@pytest.mark.usefixtures("plain", "encrypted")
@pytest.mark.parametrize("address", [BACKUP, RESTORE, VERIFY])
async def test_the_same_request_twice_makes_one_job(client: httpx2.AsyncClient, jobs: MemoryJobs, address: str) -> None:
    first, second = [await sent(client, address) for _ in range(2)]
    job = await the_one_job(jobs)
    for response in (first, second):
        assert response.status_code == 202, response.text
        assert response.headers["location"] == f"/api/jobs/{job.job_id}"
    assert second.json() == first.json()


@pytest.mark.usefixtures("encrypted")
@pytest.mark.parametrize("address", [BACKUP, RESTORE, VERIFY])
async def test_the_same_request_ten_times_at_one_moment_makes_one_job(
    client: httpx2.AsyncClient, jobs: MemoryJobs, address: str
) -> None:
    responses = await asyncio.gather(*(sent(client, address) for _ in range(10)))
    assert {(response.status_code, response.text) for response in responses} == {(202, responses[0].text)}
    await the_one_job(jobs)


async def test_on_redis_too_ten_at_one_moment_make_one_job(resources: Resources, own_redis: RedisServer) -> None:
    settings = resources.settings
    async with open_jobs(settings.model_copy(update={"redis_url": SecretStr(own_redis.url)}), own_redis.url) as jobs:
        app = create_app(settings, resources=replace(resources, jobs=jobs))
        async with client_of(app, Authorization=f"Bearer {TOKEN}") as client:
            responses = await asyncio.gather(*(sent(client, BACKUP) for _ in range(10)))
            assert {(response.status_code, response.text) for response in responses} == {(202, responses[0].text)}
            other = await sent(client, BACKUP, {"passphrase": PASSPHRASE + "?"})
            assert_problem(other, 422, Code.IDEMPOTENCY_CONFLICT)
        [job], total = await jobs.store.page(limit=10)
        assert total == 1
        assert await jobs.secrets.open(job.job_id)
    redis = own_redis.client()
    assert len(list(redis.scan_iter(match="*:secret:*"))) == 1
    redis.close()


@pytest.mark.usefixtures("encrypted")
async def test_a_restore_that_is_sent_again_is_not_refused_for_itself(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    first = await sent(client, RESTORE)
    assert (await sent(client, RESTORE)).json() == first.json()
    refused = await sent(client, RESTORE, key="another key")
    assert_problem(refused, 409, Code.RESTORE_RUNNING)
    await the_one_job(jobs)


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.QUEUED])
async def test_whatever_has_become_of_the_job_the_answer_is_the_same(
    client: httpx2.AsyncClient, jobs: MemoryJobs, state: JobState
) -> None:
    first = await sent(client, BACKUP)
    await jobs.store.update(replace(await the_one_job(jobs), state=state))
    assert (await sent(client, BACKUP)).json() == first.json()
    await the_one_job(jobs)


@pytest.mark.usefixtures("encrypted")
async def test_nothing_of_what_was_asked_for_has_to_be_there_any_more(
    client: httpx2.AsyncClient, resources: Resources, store: LocalStore, cell: Path
) -> None:
    first = {address: await sent(client, address, key=address) for address in (BACKUP, VERIFY)}
    store.remove(ENCRYPTED)
    (cell / "config").rename(cell / "conf")
    async with asyncio.timeout(20), resources.derivation:  # no key is derived again either, which would wait here
        for address, before in first.items():
            again = await sent(client, address, key=address)
            assert (again.status_code, again.text) == (202, before.text)


@pytest.mark.parametrize(
    ("address", "body"),
    [
        (BACKUP, {"passphrase": PASSPHRASE + "?"}),
        (BACKUP, {"passphrase": PASSPHRASE, "label": "x"}),
        (BACKUP, {"label": "x"}),
        (RESTORE, {"passphrase": PASSPHRASE}),
        (VERIFY, {"passphrase": PASSPHRASE}),
    ],
)
@pytest.mark.usefixtures("encrypted")
async def test_the_same_key_for_something_else_is_refused(
    client: httpx2.AsyncClient, jobs: MemoryJobs, address: str, body: dict[str, Any]
) -> None:
    assert (await sent(client, BACKUP)).status_code == 202
    assert_problem(await sent(client, address, body), 422, Code.IDEMPOTENCY_CONFLICT)
    await the_one_job(jobs)


@pytest.mark.usefixtures("plain", "encrypted")
async def test_the_same_key_for_another_archive_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await sent(client, VERIFY)).status_code == 202
    again = await client.post(f"/api/config/backups/{PLAIN}/verify", headers={"Idempotency-Key": KEY})
    assert_problem(again, 422, Code.IDEMPOTENCY_CONFLICT)


async def test_how_the_body_is_written_does_not_matter(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    headers = {"Idempotency-Key": KEY, "Content-Type": "application/json"}
    bodies = (b'{"passphrase":"secret","label":"\xc3\xbc"}', b'{ "label" : "\\u00fc",\n "passphrase": "secret" }')
    answers = [await client.post(BACKUP, content=body, headers=headers) for body in bodies]
    assert {answer.text for answer in answers} == {answers[0].text}
    await the_one_job(jobs)


async def test_no_body_is_an_empty_one(client: httpx2.AsyncClient) -> None:
    bodies: tuple[dict[str, str] | None, ...] = ({}, None)
    answers = [await client.post(BACKUP, json=body, headers={"Idempotency-Key": KEY}) for body in bodies]
    assert answers[0].status_code == 202
    assert answers[1].text == answers[0].text


async def test_without_a_key_or_with_another_one_each_request_makes_a_job(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    for headers in ({}, {}, {"Idempotency-Key": KEY}):
        assert (await client.post(BACKUP, headers=headers)).status_code == 202
    assert len(jobs.queue.enqueued) == 3


async def test_the_keys_of_two_tokens_have_nothing_to_do_with_one_another(
    client: httpx2.AsyncClient, resources: Resources, jobs: MemoryJobs
) -> None:
    _, token = resources.tokens.named.make("nightly", Scope.ADMIN, by="tests")
    for header in (TOKEN, token):
        response = await client.post(
            BACKUP, headers={"Idempotency-Key": KEY, "Authorization": f"Bearer {header}"}, json={"label": header[:3]}
        )
        assert response.status_code == 202, response.text
    assert [job.asked_by for job in jobs.queue.enqueued] == ["bootstrap", "nightly"]


async def test_a_request_that_was_refused_has_not_used_its_key(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    for _ in range(settings.max_queued_jobs):
        await client.post(BACKUP)
    assert_problem(await sent(client, BACKUP), 429, Code.QUEUE_FULL)
    await jobs.store.update(replace(jobs.queue.enqueued[0], state=JobState.SUCCEEDED))
    assert (await sent(client, BACKUP)).status_code == 202


KEYS = {
    "empty": [b""],
    "too long": [b"x" * 256],
    "foreign letters": ["schlüssel".encode()],
    "a tab": [b"a\tb"],
    "two": [b"a", b"b"],
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
async def test_a_key_that_is_none_is_refused(client: httpx2.AsyncClient, jobs: MemoryJobs, keys: list[bytes]) -> None:
    headers = [(b"Idempotency-Key", key) for key in keys]
    assert_problem(await client.post(BACKUP, headers=headers), 422, Code.INVALID_REQUEST)
    await assert_nothing_queued(jobs)


async def test_the_longest_key_is_taken(client: httpx2.AsyncClient) -> None:
    assert (await sent(client, BACKUP, key=" ~" * 127 + "~")).status_code == 202


async def test_what_is_kept_tells_neither_the_key_nor_a_guessed_passphrase(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    assert (await sent(client, BACKUP)).status_code == 202
    [(key, (fingerprint, _))] = jobs.store._requests.items()
    assert KEY not in key + fingerprint
    guesses = [KEY, PASSPHRASE, json.dumps({"passphrase": PASSPHRASE})]
    asked = [str(settings.cell_root), "bootstrap", "POST", BACKUP, "", {"passphrase": PASSPHRASE}]
    guesses += [json.dumps(asked[start:], separators=(",", ":")) for start in range(len(asked))]
    digests = {
        hashlib.sha256(prefix + guess.encode()).hexdigest() for guess in guesses for prefix in (b"", b"request\0")
    }
    assert not digests & {key, fingerprint}
    (settings.state_dir / "instance.key").unlink()  # it is made anew: the same request has another digest then
    assert (await sent(client, BACKUP)).status_code == 202
    assert len(jobs.store._requests) == 2


class LosingStore:
    """Lose the answer of `create`, after or before the record is written."""

    def __init__(self, jobs: MemoryJobs, *, after: bool) -> None:
        self._create = jobs.store.create
        self._after = after

    async def create(self, job: Job, **given: Any) -> Job:
        if self._after:
            await self._create(job, **given)
        raise UnavailableError(Code.REDIS_UNAVAILABLE, "The answer was lost.")


@pytest.mark.parametrize("after", [True, False])
async def test_the_secret_of_a_job_is_kept_where_only_the_answer_was_lost(
    client: httpx2.AsyncClient,
    jobs: MemoryJobs,
    monkeypatch: pytest.MonkeyPatch,
    after: bool,  # noqa: FBT001
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(jobs.store, "create", LosingStore(jobs, after=after).create)
        assert_problem(await sent(client, BACKUP), 503, Code.REDIS_UNAVAILABLE)
    made, _ = await jobs.store.page(limit=10)
    assert list(jobs.secrets._secrets) == [job.job_id for job in made]
    assert len(made) == int(after)
    again = await sent(client, BACKUP)
    assert again.status_code == 202
    if after:
        assert again.json()["job_id"] == made[0].job_id


async def test_a_request_whose_archive_is_gone_is_refused_with_another_key(
    client: httpx2.AsyncClient, encrypted: Entry, store: LocalStore
) -> None:
    assert (await sent(client, VERIFY)).status_code == 202
    store.remove(encrypted.backup_id)
    assert_problem(await sent(client, VERIFY, key="another"), 404, Code.BACKUP_NOT_FOUND)
