"""What the list of schedules says of the last time."""

from typing import Any, cast

import pytest

from app.client.service import Service
from app.commands.schedules import last_outcome
from app.errors import Code, RefusedError


class Jobs:
    """Be a service that knows one job, or answers with an error."""

    def __init__(self, answer: str | Code) -> None:
        self._answer = answer

    async def get(self, path: str) -> dict[str, Any]:
        """Give the job."""
        assert path == "/api/jobs/job-1"
        if isinstance(self._answer, Code):
            raise RefusedError(self._answer, "No.")
        return {"state": self._answer}


async def outcome(last: dict[str, Any] | None, answer: str | Code = "failed") -> str | None:
    return await last_outcome(cast("Service", Jobs(answer)), {"last_result": last})


STARTED = {"outcome": "started", "job_id": "job-1"}


async def test_a_job_that_was_begun_is_told_as_it_ended() -> None:
    assert await outcome(STARTED) == "failed"


async def test_a_job_that_is_forgotten_was_begun() -> None:
    assert await outcome(STARTED, Code.JOB_NOT_FOUND) == "started"


async def test_what_else_goes_wrong_is_not_hidden() -> None:
    with pytest.raises(RefusedError):
        await outcome(STARTED, Code.FORBIDDEN)


@pytest.mark.parametrize(("last", "said"), [(None, None), ({"outcome": "skipped", "job_id": None}, "skipped")])
async def test_where_no_job_was_begun_none_is_asked_for(last: dict[str, Any] | None, said: str | None) -> None:
    assert await outcome(last) == said
