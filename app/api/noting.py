"""What requests leave in the audit log: each that changes or gives away something, and those refused, counted."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import Request, Response

from app.access.audit import AuditEvent
from app.api.attempts import Refusal
from app.api.problems import REQUEST_ID, code_of
from app.api.resources import Resources, resources_of
from app.errors import MEANINGS, Code

_TELLING = 15.0
_JOBS = "/api/jobs/"
_CUT_OFF = 499  # the client, or this service, has gone away meanwhile
_log = logging.getLogger(__name__)


async def noted(
    request: Request, handler: Callable[[Request], Awaitable[Response]], *, what: str, by: str, peer: str
) -> Response:
    """Serve a request and note it with how it ended, before the answer is given."""
    status: int = _CUT_OFF
    code: Code | None = Code.CANCELLED
    made = None
    try:
        response = await handler(request)
    except Exception as error:
        code = code_of(error)
        status = MEANINGS[code].status
        raise
    else:
        status, code = response.status_code, None
        location = response.headers.get("location", "")
        made = location.removeprefix(_JOBS) if location.startswith(_JOBS) else None
        return response
    finally:
        about = {**request.path_params}
        await asyncio.to_thread(
            resources_of(request).audit.write,
            AuditEvent.REQUEST,
            what=what,
            by=by,
            peer=peer,
            job_id=about.pop("job_id", made),
            target=next(iter(about.values()), getattr(request.state, "target", None)),
            status=status,
            outcome=_outcome(status, code),
            code=code,
            request_id=request.scope[REQUEST_ID],
        )


def _outcome(status: int, code: Code | None) -> str:
    if code is None:
        return "done"
    return "failed" if status >= 500 or code is Code.CANCELLED else "refused"


async def tell(given: Resources, refusals: list[tuple[Refusal, int]]) -> None:
    """Write what is to be told of refusals into log and audit log."""
    for refusal, count in refusals:
        who = f"token '{refusal.by}'" if refusal.by else "no valid token"
        _log.warning("refused %d times: %s from %s, %s", count, who, refusal.peer, refusal.code)
        await asyncio.to_thread(
            given.audit.write,
            AuditEvent.REFUSED,
            what=refusal.what,
            by=refusal.by,
            peer=refusal.peer,
            status=MEANINGS[refusal.code].status,
            outcome="refused",
            code=refusal.code,
            count=count,
        )


@asynccontextmanager
async def telling(given: Resources) -> AsyncIterator[None]:
    """Tell what is left of refusals while the block runs, and at its end."""
    task = asyncio.create_task(_tell_often(given))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        await tell(given, given.refusals.rest())


async def _tell_often(given: Resources) -> None:
    while True:
        await asyncio.sleep(_TELLING)
        await tell(given, given.refusals.due())
