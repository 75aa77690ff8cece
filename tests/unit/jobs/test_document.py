import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from app.api.jobs import JobDocument
from app.api.parts import PartModel
from app.archive.parts import Part, PartFault, PartKind, PartOutcome, PartResult
from app.errors import Code
from app.jobs.document import document, part_document
from app.jobs.records import Job, JobFault, JobState, Progress
from tests.unit.jobs.jobs import FIRST, a_job

VOLUME = PartResult(
    Part(PartKind.VOLUME, "mailboxes", "mail", "cell-mail", "/var/mail", "image", "digest"),
    *(PartOutcome.FAILED, 3, 10, 1.5, "exec", 2, ("w",), ("./cut",), PartFault(Code.TAR_FAILED, "It failed.", "Look.")),
)


def an_ended_job() -> Job:
    return a_job(
        state=JobState.PARTIAL,
        request={"envelope": "the envelope", "webhook": "https://hooks.example"},
        stage="volumes",
        progress=Progress(50, 10, 20, True, 3, "mail/mailboxes", 5.0, 2.0),
        components=(PartResult(Part(PartKind.COMPONENT, "vault"), PartOutcome.SUCCEEDED), VOLUME),
        warnings=("a warning", "für"),
        error=JobFault(Code.WRITE_FAILED, "It failed.", "Mend it."),
        result={"backup_id": "backup-0", "steps": [{"stage": "verify", "seconds": 0.1}]},
        started_at=FIRST + timedelta(seconds=1),
        finished_at=datetime(2026, 11, 23, 4, 0, 1, 120000, tzinfo=timezone(timedelta(hours=2))),
        worker="w",
        fence=1,
        asked_by="nightly",
    )


def test_what_the_api_shows_of_a_job_is_its_document() -> None:
    for job in (a_job(), an_ended_job()):
        assert JobDocument.of(job).model_dump(mode="json") == document(job)


def test_what_the_api_shows_of_a_part_is_its_document() -> None:
    for result in an_ended_job().components:
        assert PartModel.of(result).model_dump(mode="json") == part_document(result)


def test_a_document_is_plain_json_without_the_request() -> None:
    text = json.dumps(document(an_ended_job()), allow_nan=False)
    assert "envelope" not in text
    assert "hooks.example" not in text
    assert json.loads(text) == document(an_ended_job())


def test_times_are_utc() -> None:
    shown = document(replace(an_ended_job(), created_at=datetime(2026, 11, 23, 2, tzinfo=UTC)))
    assert shown["created_at"] == "2026-11-23T02:00:00Z"
    assert shown["finished_at"] == "2026-11-23T02:00:01.120000Z"
