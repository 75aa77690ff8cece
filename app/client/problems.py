"""What the service answers instead of what was asked for, as errors of the one tree."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from app.errors import BackupError, Code, JobError, RefusedError, UnavailableError

_NOT_IT = "Check CELL_BACKUP_URL, or update cell-backup."


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn what goes wrong on the way to the service into UnavailableError."""
    try:
        yield
    except json.JSONDecodeError as error:
        message = f"What answers at {url} is not this service."
        raise UnavailableError(Code.SERVICE_UNREACHABLE, message, hint=_NOT_IT) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        why = getattr(cause, "strerror", None) or str(cause) or "it does not answer in time"
        raise UnavailableError(Code.SERVICE_UNREACHABLE, f"The service at {url} cannot be reached: {why}.") from error


async def refusal(answer: aiohttp.ClientResponse) -> BackupError:
    """Make an error of an answer that is a problem document, or of what something else on the way said."""
    try:
        document: Any = json.loads(await answer.read())
        code = Code(document["code"])
        message, hint = str(document["detail"]), str(document["hint"])
    except (ValueError, TypeError, KeyError):
        message = f"{answer.url.origin()} answered {answer.status}, and not as this service does."
        return UnavailableError(Code.SERVICE_UNREACHABLE, message, hint=_NOT_IT)
    if answer.status < 500:
        return RefusedError(code, message, hint=hint, job_id=document.get("job_id"))
    kind = UnavailableError if answer.status == 503 else JobError
    return kind(code, message, hint=hint)
