from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.access.tokens import Scope
from app.api.resources import Resources
from app.errors import Code
from app.jobs.deliveries import Attempt, Delivery, DeliveryState
from app.jobs.records import JobState
from app.jobs.rooms import MemoryJobs
from app.jobs.webhook_keys import unpack_webhook, webhook_id
from app.settings import Settings
from tests.api.conftest import TOKEN, assert_nothing_queued, assert_problem, client_of
from tests.api.test_jobs import NOW, remember
from tests.support.webhook_receiver import LOOPBACK, SECRET, answer, receiver

ATTEMPT = Attempt(NOW, 0.5, 500, None, "not now")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_networks": LOOPBACK})


async def keep(jobs: MemoryJobs, job_id: str, delivery_id: str = "msg_1_request", **fields: Any) -> Delivery:
    values: dict[str, Any] = {
        "origin": "https://hooks.example",
        "body": "{}",
        "created_at": NOW,
        "target": "request",
    } | fields
    delivery = Delivery(delivery_id, job_id, **{"body": "{}", "created_at": NOW, **values})
    await jobs.deliveries.add(delivery)
    return delivery


@pytest.mark.parametrize("address", ["/api/jobs/{}/webhooks", "/api/jobs/{}"])
async def test_a_job_shows_every_attempt_of_its_webhooks(
    client: httpx2.AsyncClient, jobs: MemoryJobs, address: str
) -> None:
    job = await remember(jobs, JobState.FAILED)
    later = NOW + timedelta(minutes=1)
    await keep(jobs, job.job_id, attempts=(ATTEMPT,), next_at=later)
    await keep(jobs, job.job_id, "msg_1_default", target="default", created_at=later, state=DeliveryState.DELIVERED)
    shown = (await client.get(address.format(job.job_id))).json()["webhooks"]
    assert shown[0] == {
        "delivery_id": "msg_1_request",
        "target": "request",
        "origin": "https://hooks.example",
        "state": "pending",
        "attempts": [{"at": "2026-11-23T02:00:00Z", "seconds": 0.5, "status": 500, "error": None, "answer": "not now"}],
        "created_at": "2026-11-23T02:00:00Z",
        "next_at": "2026-11-23T02:01:00Z",
    }
    assert [(one["target"], one["state"]) for one in shown] == [("request", "pending"), ("default", "delivered")]


async def test_a_webhook_is_sent_again(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    job = await remember(jobs, JobState.FAILED)
    await keep(jobs, job.job_id, attempts=(ATTEMPT,), state=DeliveryState.GIVEN_UP)
    response = await client.post(f"/api/jobs/{job.job_id}/webhooks/msg_1_request/redeliver")
    assert response.status_code == 202
    assert (response.json()["state"], len(response.json()["attempts"])) == ("pending", 1)
    claimed = await jobs.deliveries.claim(datetime.now(UTC), seconds=60)
    assert claimed is not None
    assert claimed.delivery_id == "msg_1_request"


async def test_the_webhook_of_another_job_is_not_found(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    mine, other = [await remember(jobs, JobState.FAILED, age) for age in range(2)]
    await keep(jobs, other.job_id, state=DeliveryState.DELIVERED)
    for delivery_id in ("msg_1_request", "nonsense", "%00", "*"):
        response = await client.post(f"/api/jobs/{mine.job_id}/webhooks/{delivery_id}/redeliver")
        assert_problem(response, 404, Code.WEBHOOK_NOT_FOUND)
    assert await jobs.deliveries.claim(datetime.now(UTC), seconds=60) is None
    for call in (client.get("/api/jobs/x/webhooks"), client.post("/api/jobs/x/webhooks/msg_1_request/redeliver")):
        assert_problem(await call, 404, Code.JOB_NOT_FOUND)


async def test_a_receiver_is_tried_with_a_signed_message(client: httpx2.AsyncClient) -> None:
    async with receiver(answer(200, b"got it")) as taking:
        response = await client.post("/api/webhooks/test", json={"url": taking.url, "secret": SECRET})
    assert response.status_code == 200, response.text
    [received] = taking.received
    assert received.verified()["type"] == "test"
    shown = response.json()
    assert shown["delivery_id"] == received.headers["webhook-id"]
    assert (shown["origin"], shown["delivered"]) == (taking.origin, True)
    assert (shown["attempt"]["status"], shown["attempt"]["answer"]) == (200, "got it")
    assert "path-is-secret" not in response.text


async def test_a_receiver_that_refuses_is_no_error_of_the_call(client: httpx2.AsyncClient) -> None:
    async with receiver(answer(500, b"broken")) as taking:
        response = await client.post("/api/webhooks/test", json={"url": taking.url, "secret": SECRET})
    assert response.status_code == 200
    assert (response.json()["delivered"], response.json()["attempt"]["status"]) == (False, 500)


async def test_of_the_receiver_for_all_jobs_no_more_is_shown_than_where_it_is(
    app: FastAPI, client: httpx2.AsyncClient, settings: Settings, resources: Resources
) -> None:
    assert (await client.get("/api/webhooks")).json() == {"origin": None}
    default = {"webhook_url": SecretStr("https://hooks.example/path?key"), "webhook_secret": SecretStr("x" * 24)}
    object.__setattr__(resources, "settings", settings.model_copy(update=default))
    async with client_of(app, Authorization=f"Bearer {TOKEN}") as again:
        assert (await again.get("/api/webhooks")).json() == {"origin": "https://hooks.example"}


@pytest.mark.parametrize("body", [None, {}, {"secret": "another secret of 24 bytes"}])
async def test_the_receiver_for_all_jobs_is_tried(
    app: FastAPI, settings: Settings, resources: Resources, body: dict[str, str] | None
) -> None:
    async with receiver() as taking:
        default = {"webhook_url": SecretStr(taking.url), "webhook_secret": SecretStr("x" * 24)}
        object.__setattr__(resources, "settings", settings.model_copy(update=default))
        async with client_of(app, Authorization=f"Bearer {TOKEN}") as client:
            response = await client.post("/api/webhooks/test", json=body)
    assert response.json()["delivered"] is True
    key = b"another secret of 24 bytes" if body else b"x" * 24
    assert taking.received[0].verified(key)["type"] == "test"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"secret": SECRET},
        {"url": "https://hooks.example"},
        {"url": "https://hooks.example", "secret": "short"},
        {"url": "https://10.0.0.1/path-is-secret", "secret": SECRET},
        {"url": "http://10.0.0.1/path-is-secret", "secret": SECRET},
        {"url": "ftp://hooks.example/path-is-secret", "secret": SECRET},
        {"url": "", "secret": SECRET},
    ],
)
async def test_what_cannot_be_called_is_refused(client: httpx2.AsyncClient, body: dict[str, str]) -> None:
    response = await client.post("/api/webhooks/test", json=body)
    assert_problem(response, 422, Code.INVALID_WEBHOOK)
    assert "path-is-secret" not in response.text


@pytest.mark.parametrize("body", [{"url": 1}, {"secret": None}, {"secret": ""}, {"secret": "x" * 513}, {"else": 1}])
async def test_what_is_no_webhook_is_refused(client: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    assert_problem(await client.post("/api/webhooks/test", json=body), 422, Code.INVALID_REQUEST)


async def test_a_request_names_who_is_told_of_its_end(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    url = "https://hooks.example/path-is-secret"
    response = await client.post("/api/config/backup", json={"webhook": {"url": url, "secret": SECRET}})
    assert response.status_code == 202, response.text
    job = await jobs.store.get(response.json()["job_id"])
    assert job is not None
    assert job.request["webhook"] == "https://hooks.example"
    assert "path-is-secret" not in repr(job)
    assert unpack_webhook(await jobs.secrets.open(webhook_id(job.job_id))) == (url, SECRET)


async def test_a_request_whose_receiver_is_not_allowed_makes_no_job(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    for webhook in ({"url": "https://10.0.0.1", "secret": SECRET}, {"url": "https://hooks.example"}):
        response = await client.post("/api/config/backup", json={"webhook": webhook})
        assert_problem(response, 422, Code.INVALID_WEBHOOK)
    await assert_nothing_queued(jobs)


async def test_who_may_only_read_sends_nothing(app: FastAPI, resources: Resources, jobs: MemoryJobs) -> None:
    job = await remember(jobs, JobState.FAILED)
    await keep(jobs, job.job_id, state=DeliveryState.DELIVERED)
    _, token = resources.tokens.named.make("reader", Scope.READ, by="tests")
    async with receiver() as taking, client_of(app, Authorization=f"Bearer {token}") as reader:
        assert (await reader.get(f"/api/jobs/{job.job_id}/webhooks")).status_code == 200
        again = await reader.post(f"/api/jobs/{job.job_id}/webhooks/msg_1_request/redeliver")
        assert_problem(again, 403, Code.FORBIDDEN)
        tried = await reader.post("/api/webhooks/test", json={"url": taking.url, "secret": SECRET})
        assert_problem(tried, 403, Code.FORBIDDEN)
    assert taking.received == []
