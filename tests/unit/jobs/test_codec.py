import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive.parts import Part, PartFault, PartKind, PartOutcome, PartResult
from app.jobs.codec import decode_delivery, decode_job, encode_delivery, encode_job
from app.jobs.deliveries import Attempt, Delivery, DeliveryState
from app.jobs.records import Job, JobFault, JobKind, JobState, Progress
from tests.unit.jobs.jobs import a_job

# the low surrogates stand for bytes of file names that are not UTF-8
TEXT = st.text(st.characters() | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(timezones=st.just(UTC))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)


def tuples(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=2).map(tuple)


MAYBE_TEXT = st.none() | TEXT
PARTS = st.builds(
    Part,
    kind=st.sampled_from(PartKind),
    name=TEXT,
    service=MAYBE_TEXT,
    container=MAYBE_TEXT,
    path=MAYBE_TEXT,
    image=MAYBE_TEXT,
    digest=MAYBE_TEXT,
)
RESULTS = st.builds(
    PartResult,
    part=PARTS,
    outcome=st.sampled_from(PartOutcome),
    files=st.integers(),
    bytes=st.integers(),
    seconds=NUMBERS,
    way=MAYBE_TEXT,
    exit_code=st.none() | st.integers(),
    warnings=tuples(TEXT),
    damaged=tuples(TEXT),
    error=st.none() | st.builds(PartFault, TEXT, TEXT, TEXT),
)
PROGRESS = st.builds(
    Progress,
    percent=NUMBERS,
    bytes_done=st.integers(),
    bytes_total=st.none() | st.integers(),
    estimated=st.booleans(),
    files_done=st.integers(),
    current=MAYBE_TEXT,
    rate=st.none() | NUMBERS,
    eta_seconds=st.none() | NUMBERS,
)
JOBS = st.builds(
    Job,
    job_id=TEXT,
    kind=st.sampled_from(JobKind),
    state=st.sampled_from(JobState),
    created_at=MOMENTS,
    backup_id=TEXT,
    request=OBJECTS,
    stage=MAYBE_TEXT,
    progress=PROGRESS,
    components=tuples(RESULTS),
    warnings=tuples(TEXT),
    error=st.none() | st.builds(JobFault, TEXT, TEXT, TEXT),
    result=st.none() | OBJECTS,
    started_at=st.none() | MOMENTS,
    finished_at=st.none() | MOMENTS,
    cancel_requested=st.booleans(),
    worker=MAYBE_TEXT,
    fence=st.none() | st.integers(),
    asked_by=MAYBE_TEXT,
)
DELIVERIES = st.builds(
    Delivery,
    delivery_id=TEXT,
    job_id=TEXT,
    target=TEXT,
    origin=TEXT,
    body=TEXT,
    created_at=MOMENTS,
    state=st.sampled_from(DeliveryState),
    attempts=tuples(st.builds(Attempt, MOMENTS, NUMBERS, st.none() | st.integers(), MAYBE_TEXT, TEXT)),
    next_at=st.none() | MOMENTS,
)


@settings(deadline=None)
@given(JOBS)
def test_a_record_comes_back_as_it_was(job: Job) -> None:
    again = decode_job(encode_job(job))
    assert again == job
    assert type(again.kind) is JobKind
    assert type(again.state) is JobState


@settings(deadline=None)
@given(DELIVERIES)
def test_a_webhook_comes_back_as_it_was(delivery: Delivery) -> None:
    again = decode_delivery(encode_delivery(delivery))
    assert again == delivery
    assert type(again.state) is DeliveryState


def test_a_record_of_an_earlier_version_is_read() -> None:
    raw = json.loads(encode_job(a_job(asked_by="ops")))
    del raw["asked_by"]
    assert decode_job(json.dumps(raw).encode()) == a_job(asked_by=None)


def test_times_are_written_in_utc() -> None:
    local = datetime(2026, 11, 23, 4, 30, tzinfo=timezone(timedelta(hours=2)))
    assert json.loads(encode_job(a_job(created_at=local)))["created_at"] == "2026-11-23T02:30:00+00:00"


@pytest.mark.parametrize(
    "job",
    [
        a_job(created_at=datetime(2026, 11, 23)),  # noqa: DTZ001  # the mistake under test
        replace(a_job(), progress=Progress(percent=float("nan"))),
        replace(a_job(), result={"path": object()}),
    ],
    ids=["a time without zone", "not a number", "an object"],
)
def test_what_json_cannot_hold_is_refused(job: Job) -> None:
    with pytest.raises(ValueError):
        encode_job(job)
