"""The service held against its own OpenAPI document, with archives and jobs that exist and with any other input."""

from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck
from hypothesis import settings as example_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.api.resources import Resources
from app.api.submission import new_job
from app.catalog.local import LocalStore
from app.jobs.records import JobKind, JobState
from app.jobs.rooms import MemoryJobs
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import ENCRYPTED, PASSPHRASE, PLAIN, TOKEN, publish

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
Case = schemathesis.Case[Any]
QUEUED, RUNNING, FAILED = "1" * 32, "2" * 32, "3" * 32


@pytest.fixture
def open_app(resources: Resources) -> FastAPI:
    """Give the application with room for more jobs than the examples queue."""
    settings = resources.settings.model_copy(update={"max_queued_jobs": 1_000_000})
    return create_app(settings, resources=replace(resources, settings=settings))


api = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
bounded = example_settings(
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@api.parametrize()
@bounded
def test_any_input_is_answered_as_documented(case: Case, open_app: FastAPI) -> None:
    case.call_and_validate(app=open_app, headers=AUTHORIZED, checks=CHECKS)


@(api.include(path_regex="backup_id").parametrize())
@bounded
def test_any_input_about_an_archive_is_answered_as_documented(
    case: Case, open_app: FastAPI, store: LocalStore, archives: dict[str, bytes]
) -> None:
    for backup_id, content in archives.items():
        if backup_id not in {entry.backup_id for entry in store.entries()}:
            publish(store, backup_id, content, encrypted=backup_id == ENCRYPTED)
        case.path_parameters = {"backup_id": backup_id}
        case.call_and_validate(app=open_app, headers=AUTHORIZED, checks=CHECKS)
    if isinstance(case.body, dict):
        case.path_parameters = {"backup_id": ENCRYPTED}
        case.body = case.body | {"passphrase": PASSPHRASE}
        case.call_and_validate(app=open_app, headers=AUTHORIZED, checks=CHECKS)


@pytest.fixture(autouse=True)
def _streams_end(resources: Resources) -> None:
    """Let streams of jobs that have not ended end at once, as they do when the service is about to."""
    resources.closing.set()


@(api.include(path_regex="job_id").parametrize())
@bounded
def test_any_input_about_a_job_is_answered_as_documented(case: Case, open_app: FastAPI, jobs: MemoryJobs) -> None:
    for job_id, state in ((QUEUED, JobState.QUEUED), (RUNNING, JobState.RUNNING), (FAILED, JobState.FAILED)):
        job = replace(new_job(JobKind.BACKUP, PLAIN, {}), job_id=job_id, state=state)
        jobs.store._jobs[job_id] = job
        case.path_parameters = {**(case.path_parameters or {}), "job_id": job_id}
        case.call_and_validate(app=open_app, headers=AUTHORIZED, checks=CHECKS)
