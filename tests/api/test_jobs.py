from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from app.api.submission import new_job
from app.archive.parts import Part, PartFault, PartKind, PartOutcome, PartResult
from app.catalog.base import Entry
from app.errors import Code
from app.jobs.deliveries import Attempt, Delivery
from app.jobs.records import Job, JobFault, JobKind, JobState, Progress
from app.jobs.rooms import MemoryJobs
from app.settings import Settings
from tests.api.conftest import PASSPHRASE, assert_problem

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)


async def remember(jobs: MemoryJobs, state: JobState, age: int = 0) -> Job:
    job = replace(new_job(JobKind.BACKUP, f"backup-{age}", {}), created_at=NOW - timedelta(minutes=age))
    await jobs.store.create(job, max_queued=100)
    if state is not JobState.QUEUED:
        job = replace(job, state=state)
        await jobs.store.update(job)
    return job


async def test_jobs_are_listed_in_parts_newest_first(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    ids = [(await remember(jobs, JobState.QUEUED, age)).job_id for age in range(5)]
    page = (await client.get("/api/jobs", params={"limit": 2, "offset": 1})).json()
    assert [job["job_id"] for job in page["jobs"]] == ids[1:3]
    assert page["total"] == 5


async def test_jobs_can_be_listed_by_state(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    for age, state in enumerate([JobState.FAILED, JobState.RUNNING, JobState.FAILED, JobState.FAILED]):
        await remember(jobs, state, age)
    page = (await client.get("/api/jobs", params={"state": "failed", "limit": 1, "offset": 1})).json()
    assert [job["backup_id"] for job in page["jobs"]] == ["backup-2"]
    assert page["total"] == 3
    assert_problem(await client.get("/api/jobs", params={"state": "done"}), 422, Code.INVALID_REQUEST)


async def test_jobs_can_be_listed_by_kind_and_by_both(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    for age, kind in enumerate([JobKind.BACKUP, JobKind.VERIFY, JobKind.RESTORE, JobKind.VERIFY]):
        job = replace(await remember(jobs, JobState.FAILED if age == 3 else JobState.SUCCEEDED, age), kind=kind)
        jobs.store._jobs[job.job_id] = job
    page = (await client.get("/api/jobs", params={"kind": "verify"})).json()
    assert [job["backup_id"] for job in page["jobs"]] == ["backup-1", "backup-3"]
    assert page["total"] == 2
    page = (await client.get("/api/jobs", params={"kind": "verify", "state": "failed"})).json()
    assert [job["backup_id"] for job in page["jobs"]] == ["backup-3"]
    assert_problem(await client.get("/api/jobs", params={"kind": "reindex"}), 422, Code.INVALID_REQUEST)


async def test_a_list_looks_at_the_lease_once(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    fence = jobs.leases.fence

    async def counted(cell: str) -> int:
        nonlocal looks
        looks += 1
        return await fence(cell)

    monkeypatch.setattr(jobs.leases, "fence", counted)
    async with jobs.leases.hold(str(settings.cell_root), "the job", on_lost=lambda: None) as lease:
        for age in range(30):
            job = await remember(jobs, JobState.RUNNING, age)
            await jobs.store.update(replace(job, fence=lease.fence))
        page = (await client.get("/api/jobs")).json()
    assert [job["state"] for job in page["jobs"]] == ["running"] * 30
    assert looks == 1


async def test_a_job_that_nobody_works_on_is_not_listed_among_those_that_run(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    await remember(jobs, JobState.RUNNING)
    async with jobs.leases.hold(str(settings.cell_root), "another job", on_lost=lambda: None):
        assert (await client.get("/api/jobs", params={"state": "running"})).json() == {"jobs": [], "total": 0}
        assert (await client.get("/api/jobs", params={"state": "failed"})).json()["total"] == 1


async def test_a_job_shows_its_webhooks_and_who_asked(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = (await client.post("/api/config/backup")).json()["job_id"]
    job = await jobs.store.get(job_id)
    assert job is not None
    await jobs.store.update(replace(job, state=JobState.SUCCEEDED))
    attempt = Attempt(NOW, 0.5, status=500, answer="no")
    delivery = Delivery(
        "msg_1", job_id, "request", "https://hooks.example", "{}", NOW, attempts=(attempt,), next_at=NOW
    )
    await jobs.deliveries.add(delivery)
    shown = (await client.get(f"/api/jobs/{job_id}")).json()
    assert shown["asked_by"] == "bootstrap"
    [webhook] = shown["webhooks"]
    assert (webhook["delivery_id"], webhook["state"]) == ("msg_1", "pending")
    assert [(made["status"], made["answer"]) for made in webhook["attempts"]] == [(500, "no")]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_restore_that_only_plans_says_so(
    client: httpx2.AsyncClient, jobs: MemoryJobs, *, dry_run: bool
) -> None:
    job = new_job(JobKind.RESTORE, "backup-1", {"dry_run": dry_run})
    await jobs.store.create(job, max_queued=100)
    assert (await client.get(f"/api/jobs/{job.job_id}")).json()["dry_run"] is dry_run


async def test_a_job_shows_everything_but_its_request(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    job = await remember(jobs, JobState.QUEUED)
    volume = Part(PartKind.VOLUME, "mailboxes", "mail", "cell-mail", "/var/mail", "image", "digest")
    fault = PartFault(Code.TAR_FAILED, "tar ended with 2.", "Look at it.")
    await jobs.store.update(
        replace(
            job,
            state=JobState.PARTIAL,
            request={"envelope": "the envelope"},
            stage="volumes",
            progress=Progress(50, 10, 20, True, 3, "mail/mailboxes", 5.0, 2.0),
            components=(PartResult(volume, PartOutcome.FAILED, 3, 10, 1.5, "exec", 2, ("w",), ("./cut",), fault),),
            warnings=("a warning",),
            error=JobFault(Code.WRITE_FAILED, "It failed.", "Mend it."),
            result={"backup_id": "backup-0"},
            started_at=NOW,
            finished_at=NOW,
            worker="w",
            fence=1,
        )
    )
    response = await client.get(f"/api/jobs/{job.job_id}")
    shown = response.json()
    assert "the envelope" not in response.text
    assert set(shown) == {
        *("job_id", "kind", "dry_run", "state", "backup_id", "stage", "progress", "components", "warnings"),
        *("error", "result"),
        *("created_at", "started_at", "finished_at", "cancel_requested", "asked_by", "webhooks"),
    }
    assert shown["progress"] == {
        "percent": 50.0,
        "bytes_done": 10,
        "bytes_total": 20,
        "estimated": True,
        "files_done": 3,
        "current": "mail/mailboxes",
        "rate": 5.0,
        "eta_seconds": 2.0,
    }
    assert shown["components"][0] == {
        "kind": "volume",
        "name": "mailboxes",
        "service": "mail",
        "container": "cell-mail",
        "path": "/var/mail",
        "image": "image",
        "digest": "digest",
        "outcome": "failed",
        "files": 3,
        "bytes": 10,
        "seconds": 1.5,
        "way": "exec",
        "exit_code": 2,
        "warnings": ["w"],
        "damaged": ["./cut"],
        "error": {"code": "tar_failed", "message": "tar ended with 2.", "hint": "Look at it."},
    }
    assert shown["error"]["code"] == "write_failed"
    assert shown["result"] == {"backup_id": "backup-0"}


@pytest.mark.parametrize("job_id", ["0" * 32, "nonsense", "%00", "x" * 200, "%09", "*"])
async def test_an_unknown_job_is_not_found(client: httpx2.AsyncClient, job_id: str) -> None:
    assert_problem(await client.get(f"/api/jobs/{job_id}"), 404, Code.JOB_NOT_FOUND)
    assert_problem(await client.post(f"/api/jobs/{job_id}/cancel"), 404, Code.JOB_NOT_FOUND)


async def test_a_job_that_waits_is_cancelled_at_once_and_its_secret_forgotten(
    client: httpx2.AsyncClient, jobs: MemoryJobs
) -> None:
    job_id = (await client.post("/api/config/backup", json={"passphrase": PASSPHRASE})).json()["job_id"]
    assert job_id in jobs.secrets._secrets
    response = await client.post(f"/api/jobs/{job_id}/cancel")
    assert response.status_code == 202
    shown = response.json()
    assert (shown["state"], shown["error"]["code"]) == ("cancelled", "cancelled")
    assert shown["finished_at"] is not None
    assert jobs.secrets._secrets == {}
    again = await client.post(f"/api/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()) == (202, shown)


async def test_a_job_that_runs_is_asked_to_stop(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings
) -> None:
    job = await remember(jobs, JobState.RUNNING)
    async with jobs.leases.hold(str(settings.cell_root), job.job_id, on_lost=lambda: None) as lease:
        await jobs.store.update(replace(job, fence=lease.fence))
        for _ in range(2):
            response = await client.post(f"/api/jobs/{job.job_id}/cancel")
            assert response.status_code == 202
            assert (response.json()["state"], response.json()["cancel_requested"]) == ("running", True)


@pytest.mark.parametrize("address", ["/api/jobs", "/api/jobs/{}"])
async def test_a_job_that_nobody_works_on_does_not_run(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings, address: str
) -> None:
    job = await remember(jobs, JobState.RUNNING)
    async with jobs.leases.hold(str(settings.cell_root), "another job", on_lost=lambda: None):
        answer = (await client.get(address.format(job.job_id))).json()
    shown = answer["jobs"][0] if "jobs" in answer else answer
    assert (shown["state"], shown["error"]["code"]) == ("failed", "worker_lost")
    kept = await jobs.store.get(job.job_id)
    assert kept is not None
    assert kept.state is JobState.RUNNING  # its worker may come back and record how it really ended


@pytest.mark.parametrize("state", [state for state in JobState if state.ended and state != "cancelled"])
async def test_a_job_that_has_ended_otherwise_cannot_be_cancelled(
    client: httpx2.AsyncClient, jobs: MemoryJobs, state: JobState
) -> None:
    job = await remember(jobs, state)
    assert_problem(await client.post(f"/api/jobs/{job.job_id}/cancel"), 409, Code.JOB_FINISHED)
    kept = await jobs.store.get(job.job_id)
    assert kept is not None
    assert (kept.state, kept.cancel_requested) == (state, False)


async def test_a_job_that_begins_as_it_is_cancelled_is_asked_to_stop(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await remember(jobs, JobState.QUEUED)
    await jobs.secrets.seal(job.job_id, b"key")
    request_cancel = jobs.store.request_cancel
    async with jobs.leases.hold(str(settings.cell_root), job.job_id, on_lost=lambda: None) as lease:

        async def then_it_begins(job_id: str) -> Job | None:
            marked = await request_cancel(job_id)
            await jobs.store.update(replace(job, state=JobState.RUNNING, fence=lease.fence))
            return marked

        monkeypatch.setattr(jobs.store, "request_cancel", then_it_begins)
        answer = (await client.post(f"/api/jobs/{job.job_id}/cancel")).json()
    assert (answer["state"], answer["cancel_requested"]) == ("running", True)
    assert await jobs.secrets.open(job.job_id) == b"key"


@pytest.mark.parametrize("address", ["/api/jobs", "/api/jobs/{}"])
async def test_a_backup_whose_worker_died_over_its_record_is_never_told_to_have_failed(
    client: httpx2.AsyncClient, jobs: MemoryJobs, settings: Settings, plain: Entry, address: str
) -> None:
    """Whoever recovers records that it succeeded: an end that was told stays."""
    job = replace(new_job(JobKind.BACKUP, plain.backup_id, {}), created_at=NOW)
    await jobs.store.create(job, max_queued=100)
    await jobs.store.update(replace(job, state=JobState.RUNNING))
    async with jobs.leases.hold(str(settings.cell_root), "another job", on_lost=lambda: None):
        answer = (await client.get(address.format(job.job_id))).json()
    shown = answer["jobs"][0] if "jobs" in answer else answer
    assert (shown["state"], shown["error"]) == ("running", None)
