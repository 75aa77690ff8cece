"""What Prometheus asks for."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.exposition import choose_encoder

from app.access.tokens import Scope
from app.api.auth import authorise, secured
from app.api.metric_facts import find_facts
from app.api.metric_families import FactsCollector
from app.api.problems import problems
from app.api.resources import Given, resources_of
from app.errors import Code, InputError

router = APIRouter(tags=["health"])
_OPENMETRICS = "application/openmetrics-text"
_EXAMPLE = "# HELP cell_backup_redis_up Whether Redis answers (1) or not (0).\n# TYPE cell_backup_redis_up gauge\n"


async def may_read(request: Request) -> None:
    """Raise InputError NOT_FOUND where there are no metrics, and as `authorise` does where they want a token."""
    given = resources_of(request)
    if given.settings.metrics == "off":
        raise InputError(Code.NOT_FOUND, "This service gives no metrics: CELL_BACKUP_METRICS is 'off'.")
    if given.settings.metrics == "token":
        await authorise(request, Scope.READ)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Numbers for Prometheus",
    description=(
        "Backups, jobs, queue, worker, webhooks and room, in Prometheus' text format, or as OpenMetrics where that is "
        "asked for. Without Redis it tells `cell_backup_redis_up 0` and what can be known without it. "
        "CELL_BACKUP_METRICS says who may read it: the holder of a token, all, or nobody (then it is not found)."
    ),
    dependencies=[Depends(may_read), *secured(Scope.READ)],
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"text/plain": {"example": _EXAMPLE}, _OPENMETRICS: {"schema": {"type": "string"}}}},
        **problems(Code.UNAUTHORIZED, Code.TOO_MANY_ATTEMPTS, Code.NOT_FOUND, Code.INTERNAL),
    },
)
async def metrics(given: Given, request: Request) -> Response:
    """Answer one scrape."""
    accept = request.headers.get("accept", "")
    wanted = (kind.partition(";")[0].strip().lower() for kind in accept.split(","))
    # never the client's own words: prometheus_client stumbles over a version that is no number, and repeats any other
    encode, content_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in wanted else "")
    facts = await find_facts(given)
    return Response(encode(FactsCollector(facts)), media_type=content_type)
