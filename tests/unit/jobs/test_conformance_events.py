"""What both job rooms tell those who follow a job."""

from typing import Any

import pytest

from app.jobs.events import KEPT, event_data, place_after
from app.jobs.records import Event, Job, JobState, Progress
from app.jobs.rooms import Jobs
from tests.unit.jobs.jobs import a_job


def running(number: int = 1, **changes: Any) -> Job:
    return a_job(number, **{"state": JobState.RUNNING, "stage": "volumes", **changes})


async def followed(jobs: Jobs, *, after: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    return [event.data for event in await jobs.store.events("job-0001", after=after, limit=limit)]


async def test_a_job_that_never_changed_has_no_events(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    assert await jobs.store.events("job-0001", after=None) == []
    assert await jobs.store.events("job-0002", after=None) == []


async def test_an_event_says_where_the_job_stands(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    progress = Progress(12.5, 7, 56, files_done=3, current="mail/mailboxes \udcff", rate=1.5, eta_seconds=32.6)
    await jobs.store.update(running(progress=progress))
    assert await followed(jobs) == [
        {
            "state": "running",
            "stage": "volumes",
            "progress": {
                "percent": 12.5,
                "bytes_done": 7,
                "bytes_total": 56,
                "estimated": True,
                "files_done": 3,
                "current": "mail/mailboxes \udcff",
                "rate": 1.5,
                "eta_seconds": 32.6,
            },
        }
    ]


async def test_events_come_in_their_order_and_go_on_after_the_last_one_seen(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    steps = [running(stage=str(step)) for step in range(12)]
    for job in steps:
        await jobs.store.update(job)
    seen: list[Event] = []
    while page := await jobs.store.events("job-0001", after=seen[-1].event_id if seen else None, limit=5):
        assert len(page) <= 5
        seen += page
    assert [event.data for event in seen] == [event_data(job) for job in steps]
    places = [place_after(event.event_id) for event in seen]
    assert places == sorted(set(places))


async def test_each_job_has_its_own_events(jobs: Jobs) -> None:
    for number in (1, 2):
        await jobs.store.create(a_job(number), max_queued=9)
        await jobs.store.update(running(number, stage=str(number)))
    assert await followed(jobs) == [event_data(running(stage="1"))]


async def test_what_tells_nothing_new_is_no_event(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    for job in (running(), running(), running(warnings=("a warning",)), running(stage="rest"), running()):
        await jobs.store.update(job)
    assert [data["stage"] for data in await followed(jobs)] == ["volumes", "rest", "volumes"]


@pytest.mark.parametrize("end", [state for state in JobState if state.ended])
async def test_the_last_event_says_how_the_job_ended(jobs: Jobs, end: JobState) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    await jobs.store.update(running())
    await jobs.store.update(running(state=end))
    await jobs.store.update(running(stage="too late"))
    await jobs.store.update(running(state=end, stage="too late"))
    assert [data["state"] for data in await followed(jobs)] == ["running", end.value]


async def test_a_job_that_ends_in_the_queue_tells_it(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    await jobs.store.update(a_job(state=JobState.CANCELLED))
    assert [data["state"] for data in await followed(jobs)] == ["cancelled"]


async def test_the_last_thousand_events_are_kept(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    await jobs.store.update(running(stage="first"))
    [first] = await jobs.store.events("job-0001", after=None)
    for step in range(KEPT):
        await jobs.store.update(running(stage=str(step)))
    assert [data["stage"] for data in await followed(jobs, limit=2 * KEPT)] == [str(step) for step in range(KEPT)]
    # who saw the first one and comes back late goes on with what there is
    assert (await followed(jobs, after=first.event_id, limit=1))[0]["stage"] == "0"


@pytest.mark.parametrize(
    "after",
    [
        "",
        "-",
        "0",
        "0-0",
        "1",
        "$",
        "+",
        "*",
        "one-two",
        "1-1-1",
        "-1-1",
        "99999999999999999999-0",
        "1-\u0661",
        "1-0\n",
    ],
)
async def test_what_is_no_event_id_is_the_beginning(jobs: Jobs, after: str) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    await jobs.store.update(running())
    assert await followed(jobs, after=after) == [event_data(running())]


async def test_after_an_id_that_is_yet_to_come_there_is_nothing(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    await jobs.store.update(running())
    assert await followed(jobs, after=f"{2**64 - 1}-{2**64 - 1}") == []


async def test_events_go_with_their_job(jobs: Jobs) -> None:
    await jobs.store.create(a_job(), max_queued=9)
    await jobs.store.update(a_job(state=JobState.FAILED))
    await jobs.store.mark_told("job-0001")
    await jobs.store.forget_old(0)
    assert await followed(jobs) == []
