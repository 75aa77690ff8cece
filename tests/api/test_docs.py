import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
from fastapi import FastAPI

from app.api.job_examples import JOB_EXAMPLES
from app.api.jobs import JobModel
from app.api.resources import Resources
from app.errors import MEANINGS, Code
from app.main import create_app
from tests.api.conftest import assert_problem, client_of

LOADED = re.compile(r"""(?:src|href)\s*=\s*["']([^"']+)["']""")


def operations(app: FastAPI) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


async def test_the_documentation_loads_nothing_from_another_host(stranger: httpx2.AsyncClient) -> None:
    page = await stranger.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"https?:|//", page.text)
    addresses = LOADED.findall(page.text)
    assert len(addresses) >= 4
    for address in addresses:
        response = await stranger.get(urljoin("/docs", address))
        assert response.status_code == 200, address
        assert response.content
    script = await stranger.get("/assets/docs.js")
    assert "http" not in script.text.replace("another host", "")


async def test_the_browser_is_told_to_load_nothing_from_another_host(stranger: httpx2.AsyncClient) -> None:
    policy = (await stranger.get("/docs")).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["connect-src"] == "'self'"
    assert "http" not in policy
    assert "<script>" not in (await stranger.get("/docs")).text


async def test_without_documentation_nothing_of_it_is_there(resources: Resources) -> None:
    settings = resources.settings.model_copy(update={"docs": False})
    async with client_of(create_app(settings, resources=replace(resources, settings=settings))) as stranger:
        for path in ("/docs", "/openapi.json", "/assets/docs.js"):
            assert_problem(await stranger.get(path), 404, Code.NOT_FOUND)
        for path in ("/health", "/"):
            assert (await stranger.get(path)).status_code == 200


def test_operations_keep_their_names(app: FastAPI) -> None:
    assert {operation["operationId"]: name for name, operation in operations(app)} == {
        "health": "get /health",
        "ready": "get /ready",
        "create_backup": "post /api/config/backup",
        "restore_backup": "post /api/config/restore/{backup_id}",
        "list_backups": "get /api/config/backups",
        "get_backup": "get /api/config/backups/{backup_id}",
        "delete_backup": "delete /api/config/backups/{backup_id}",
        "list_schedules": "get /api/schedules",
        "make_schedule": "post /api/schedules",
        "get_schedule": "get /api/schedules/{name}",
        "change_schedule": "put /api/schedules/{name}",
        "remove_schedule": "delete /api/schedules/{name}",
        "run_schedule": "post /api/schedules/{name}/run",
        "get_retention": "get /api/retention",
        "set_retention": "put /api/retention",
        "reset_retention": "delete /api/retention",
        "preview_retention": "post /api/retention/preview",
        "apply_retention": "post /api/retention/apply",
        "upload_backup": "put /api/config/backups/{backup_id}",
        "download_backup": "get /api/config/backups/{backup_id}/download",
        "verify_backup": "post /api/config/backups/{backup_id}/verify",
        "list_contents": "get /api/config/backups/{backup_id}/contents",
        "list_encrypted_contents": "post /api/config/backups/{backup_id}/contents",
        "list_jobs": "get /api/jobs",
        "get_job": "get /api/jobs/{job_id}",
        "cancel_job": "post /api/jobs/{job_id}/cancel",
        "follow_job": "get /api/jobs/{job_id}/events",
        "metrics": "get /metrics",
        "get_receiver": "get /api/webhooks",
        "list_webhooks": "get /api/jobs/{job_id}/webhooks",
        "redeliver_webhook": "post /api/jobs/{job_id}/webhooks/{delivery_id}/redeliver",
        "try_webhook": "post /api/webhooks/test",
        "list_tokens": "get /api/tokens",
        "make_token": "post /api/tokens",
        "rotate_token": "post /api/tokens/{name}/rotate",
        "remove_token": "delete /api/tokens/{name}",
        "read_audit": "get /api/audit",
        "log_in": "post /api/session",
        "get_session": "get /api/session",
        "log_out": "delete /api/session",
    }


def test_every_operation_is_described_with_examples(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]

    def has_example(content: dict[str, Any]) -> bool:
        reference = content["schema"].get("$ref", "").rpartition("/")[2]
        return "examples" in content or "example" in schemas.get(reference, {})

    for name, operation in operations(app):
        assert operation["summary"], name
        assert operation["description"], name
        assert len(operation["tags"]) == 1, name
        contents = [response.get("content", {}) for response in operation["responses"].values()]
        contents.append(operation.get("requestBody", {}).get("content", {}))
        for media_type, content in [item for found in contents for item in found.items()]:
            assert "json" not in media_type or has_example(content), (name, media_type)
        for parameter in operation.get("parameters", []):
            assert parameter.get("description") or parameter["schema"].get("description"), (name, parameter)


def test_every_error_is_listed_under_its_status_with_an_example(app: FastAPI) -> None:
    for name, operation in operations(app):
        for status, response in operation["responses"].items():
            problem = response.get("content", {}).get("application/problem+json")
            assert int(status) < 400 or problem or status == "503", (name, status)
            for code, example in (problem or {"examples": {}})["examples"].items():
                meaning = MEANINGS[Code(code)]
                assert str(meaning.status) == status, (name, code)
                assert example["value"]["code"] == code
                assert code in response["description"]


@pytest.mark.parametrize(
    "operation_id", ["create_backup", "restore_backup", "verify_backup", "list_encrypted_contents"]
)
def test_the_documentation_marks_a_passphrase_as_one(app: FastAPI, operation_id: str) -> None:
    [operation] = [operation for _, operation in operations(app) if operation["operationId"] == operation_id]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    passphrase = app.openapi()["components"]["schemas"][reference]["properties"]["passphrase"]
    assert (passphrase["type"], passphrase["format"], passphrase["writeOnly"]) == ("string", "password", True)


def test_the_examples_of_a_job_are_jobs(app: FastAPI) -> None:
    responses = app.openapi()["paths"]["/api/jobs/{job_id}"]["get"]["responses"]
    assert responses["200"]["content"]["application/json"]["examples"].keys() == JOB_EXAMPLES.keys()
    for example in JOB_EXAMPLES.values():
        shown = JobModel.model_validate(example["value"])
        assert shown.model_dump(exclude_unset=True).keys() == example["value"].keys() == JobModel.model_fields.keys()


def test_a_second_restore_is_documented_with_the_id_of_the_first(app: FastAPI) -> None:
    assert "job_id" in app.openapi()["components"]["schemas"]["Problem"]["properties"]
    for name in ("post /api/config/restore/{backup_id}", "delete /api/config/backups/{backup_id}"):
        conflict = dict(operations(app))[name]["responses"]["409"]["content"]["application/problem+json"]
        about_a_job = {code for code, example in conflict["examples"].items() if "job_id" in example["value"]}
        assert about_a_job == set(conflict["examples"]) - {Code.BACKUP_LAST_VERIFIED}
