"""Every error answer of the service: a problem document after RFC 9457 with a stable code and a hint."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.errors import MEANINGS, BackupError, Code, InputError

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "cell_backup.request_id"
EXAMPLE_JOB_ID = "3f0c7e5a9d1b4c52b6a1f20d8e7c9a44"
_SHOWN_ERRORS = 3
_ABOUT_A_JOB = {Code.RESTORE_RUNNING, Code.BACKUP_IN_USE}
_HEADERS = {
    Code.UNAUTHORIZED: {"WWW-Authenticate": 'Bearer realm="cell-backup"'},
    Code.TOO_MANY_ATTEMPTS: {"Retry-After": "5"},
    Code.QUEUE_FULL: {"Retry-After": "10"},
}
_BY_STATUS = {
    400: Code.INVALID_JSON,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.BODY_TOO_LARGE,
    416: Code.RANGE_NOT_SATISFIABLE,
}
_DETAILS = {
    Code.INVALID_JSON: "The body is not JSON, or is not sent as 'Content-Type: application/json'.",
    Code.NOT_FOUND: "Nothing is at this address.",
    Code.METHOD_NOT_ALLOWED: "This address does not know that method.",
    Code.BODY_TOO_LARGE: "The body is larger than this service takes.",
    Code.INTERNAL: "Something went wrong inside the service.",
}


class Problem(BaseModel):
    """Say what went wrong, for people and for programs (RFC 9457)."""

    type: Annotated[str, Field(description="Identifies the kind of problem; made from its code.")]
    title: Annotated[str, Field(description="The kind of problem in words; never varies for a code.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What went wrong this time.")]
    code: Annotated[Code, Field(description="Stable name of the kind of problem.")]
    hint: Annotated[str, Field(description="What to do about it.")]
    instance: Annotated[str | None, Field(description="Identifies this one answer; the log has the same id.")] = None
    job_id: Annotated[str | None, Field(description="Only where a job is in the way: its id.")] = None


def problem(
    code: Code,
    detail: str | None = None,
    *,
    hint: str | None = None,
    instance: str | None = None,
    job_id: str | None = None,
) -> Problem:
    """Make the document for one code."""
    meaning = MEANINGS[code]
    return Problem(
        type=f"urn:cell-backup:problem:{code}",
        title=meaning.title,
        status=meaning.status,
        detail=detail or _DETAILS.get(code) or f"{meaning.title}.",
        code=code,
        hint=meaning.hint if hint is None else hint,
        instance=instance,
        job_id=job_id,
    )


def answer(
    scope: Scope,
    code: Code,
    detail: str | None = None,
    *,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
    job_id: str | None = None,
) -> JSONResponse:
    """Answer a request with a problem document; its instance is the request's id."""
    document = problem(code, detail, hint=hint, instance=f"urn:uuid:{scope[REQUEST_ID]}", job_id=job_id)
    content = document.model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, status_code=document.status, headers=headers, media_type=MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Let every error leave the service as a problem document."""
    app.add_exception_handler(BackupError, _on_backup_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_backup_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BackupError)
    headers = _HEADERS.get(error.code)
    job_id = error.job_id if isinstance(error, InputError) else None
    return answer(request.scope, error.code, error.message, hint=error.hint, headers=headers, job_id=job_id)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return answer(request.scope, code_of(error), headers=error.headers)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Name what is wrong and where, never what was sent: that can be a passphrase."""
    assert isinstance(error, RequestValidationError)
    code = code_of(error)
    if code is Code.INVALID_JSON:
        return answer(request.scope, code)
    errors = error.errors()
    shown = [_sentence(entry) for entry in errors[:_SHOWN_ERRORS]]
    if len(errors) > _SHOWN_ERRORS:
        shown.append(f"And {len(errors) - _SHOWN_ERRORS} more.")
    return answer(request.scope, code, " ".join(shown))


def code_of(error: BaseException) -> Code:
    """Give the code that an error is answered with."""
    if isinstance(error, BackupError):
        return error.code
    if isinstance(error, RequestValidationError):
        no_json = isinstance(error.body, bytes) or any(entry["type"] == "json_invalid" for entry in error.errors())
        return Code.INVALID_JSON if no_json else Code.INVALID_REQUEST
    if isinstance(error, HTTPException):
        return _BY_STATUS.get(error.status_code, Code.INTERNAL)
    return Code.INTERNAL


def _sentence(entry: Mapping[str, Any]) -> str:
    if entry["type"] == "extra_forbidden":
        return "The body has a field that is not known here."
    if entry["type"] == "model_attributes_type":
        return "The body must be a JSON object."
    where = ".".join(str(step) for step in entry["loc"])
    return f"{where}: {str(entry['msg']).removeprefix('Value error, ')}."


def problems(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """Describe the error answers of an operation for its OpenAPI entry, with an example for each code."""
    by_status: dict[int, list[Code]] = {}
    for code in codes:
        by_status.setdefault(MEANINGS[code].status, []).append(code)
    return {status: _response(same) for status, same in sorted(by_status.items())}


def with_problems(responses: Mapping[int | str, dict[str, Any]], *codes: Code) -> dict[int | str, dict[str, Any]]:
    """Add error answers to those that an operation describes; codes of one status stand beside each other."""
    described: dict[int | str, dict[str, Any]] = dict(responses)
    for status, same in problems(*codes).items():
        known = described.get(status, {}).get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        described[status] = problems(*map(Code, known), *map(Code, same["content"][MEDIA_TYPE]["examples"]))[status]
    return described


def _response(codes: Sequence[Code]) -> dict[str, Any]:
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"code": {"enum": [code.value for code in codes]}}},
        ]
    }
    return {
        "description": "; ".join(f"`{code}`: {MEANINGS[code].title}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": {code.value: _example(code) for code in codes}}},
    }


def _example(code: Code) -> dict[str, Any]:
    job_id = EXAMPLE_JOB_ID if code in _ABOUT_A_JOB else None
    document = problem(code, job_id=job_id)
    return {"summary": document.title, "value": document.model_dump(mode="json", exclude_none=True)}
