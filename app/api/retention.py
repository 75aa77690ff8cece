"""Retention: which archives stay, tried before it acts, and done as a job."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field

from app.access.tokens import Scope
from app.api.auth import guarded_router
from app.api.problems import problems
from app.api.resources import Given
from app.api.submission import LOCATION, REFUSALS, Accepted, Submitting
from app.api.webhook_fields import Webhook
from app.catalog.retention import Decision, Policy, check_policy
from app.errors import Code
from app.jobs.records import JobKind
from app.retention.policy_file import RetentionFile
from app.retention.pruning import plan_pruning

router = guarded_router(prefix="/api/retention", tag="retention")
# asked for each time somebody looks at the rules: nothing to note
previews = guarded_router(prefix="/api/retention", tag="retention", scope=Scope.ADMIN, audited=False)

_BODY = (Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.INVALID_REQUEST)
_POLICY: dict[str, Any] = {
    "keep_last": 3,
    "keep_hourly": None,
    "keep_daily": 7,
    "keep_weekly": 5,
    "keep_monthly": 12,
    "keep_yearly": None,
    "timezone": "Europe/Berlin",
    "undescribed": False,
    "shrink_limit": 0.5,
}
_DECISION: dict[str, Any] = {
    "backup_id": "backup-20261123-020000-9f2c1a",
    "created_at": "2026-11-23T02:00:00Z",
    "size": 363912345,
    "keep": True,
    "reasons": ["last", "daily"],
}
Count = Annotated[int | None, Field(ge=0, le=100_000)]


class PolicyModel(BaseModel):
    """Say of how many the newest is kept; a rule that is left out is not set, and where none is, nothing is removed."""

    model_config = ConfigDict(extra="forbid", from_attributes=True, json_schema_extra={"example": _POLICY})

    keep_last: Annotated[Count, Field(description="So many of the newest backups.")] = None
    keep_hourly: Annotated[Count, Field(description="The newest of so many hours that have one.")] = None
    keep_daily: Annotated[Count, Field(description="The newest of so many days that have one.")] = None
    keep_weekly: Annotated[Count, Field(description="The newest of so many weeks (ISO 8601) that have one.")] = None
    keep_monthly: Annotated[Count, Field(description="The newest of so many months that have one.")] = None
    keep_yearly: Annotated[Count, Field(description="The newest of so many years that have one.")] = None
    timezone: Annotated[str, Field(max_length=64, description="Where days begin at midnight.")] = "UTC"
    undescribed: Annotated[bool, Field(description="Whether archives that came from elsewhere go, too.")] = False
    shrink_limit: Annotated[
        float, Field(ge=0, le=1, description="Nothing goes after a backup below this part of the usual size; 0: off.")
    ] = 0.5

    def as_policy(self) -> Policy:
        """Give the policy; InputError RETENTION_KEEPS_NOTHING or UNKNOWN_TIMEZONE."""
        return check_policy(Policy(**self.model_dump()))


class RetentionModel(BaseModel):
    """Say which policy holds."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"policy": _POLICY, "source": "request", "active": True}},
    )

    policy: PolicyModel
    source: Annotated[
        Literal["settings", "request"], Field(description="Whether it was set here, or comes from the settings.")
    ]
    active: Annotated[bool, Field(description="Whether any rule is set.")]


class DecisionModel(BaseModel):
    """Say whether an archive stays, and why."""

    model_config = ConfigDict(json_schema_extra={"example": _DECISION})

    backup_id: str
    created_at: datetime
    size: int
    keep: bool
    reasons: Annotated[
        list[str],
        Field(description="The rules that keep it, what else does, or `no_rule_keeps_it`."),
    ]

    @classmethod
    def of(cls, decision: Decision) -> "DecisionModel":
        """Show one decision."""
        entry = decision.entry
        return cls(
            backup_id=entry.backup_id,
            created_at=entry.created_at,
            size=entry.size,
            keep=decision.keep,
            reasons=list(decision.reasons),
        )


class HeldModel(BaseModel):
    """Say why nothing would be removed all the same."""

    model_config = ConfigDict(from_attributes=True)

    code: Code
    message: str
    hint: str


class PreviewModel(BaseModel):
    """Say what would become of each archive."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"policy": _POLICY, "decisions": [_DECISION], "removed": 0, "freed": 0, "held": None}
        },
    )

    policy: PolicyModel
    decisions: Annotated[list[DecisionModel], Field(description="Newest first.")]
    removed: Annotated[int, Field(description="How many the rules remove.")]
    freed: Annotated[int, Field(description="Bytes of those.")]
    held: Annotated[HeldModel | None, Field(description="Where this is said, none of them would be removed.")]


class ApplyRequest(BaseModel):
    """Say how the policy is applied; every field may be left out."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"despite_anomaly": False}})

    despite_anomaly: Annotated[
        bool, Field(description="Remove also where the newest backup is odd: the preview says so as `held`.")
    ] = False
    webhook: Annotated[Webhook | None, Field(description="Who is told of the end.")] = None


@router.get(
    "",
    operation_id="get_retention",
    summary="Show the retention policy",
    description="The policy that holds: the one that was set here, else that of the settings `CELL_BACKUP_KEEP_…`.",
    responses=problems(Code.INVALID_SETTING),
)
async def get_retention(given: Given) -> RetentionModel:
    """Show the policy."""
    file = RetentionFile(given.settings)
    own, policy = await asyncio.to_thread(file.own), await asyncio.to_thread(file.read)
    return RetentionModel(
        policy=PolicyModel.model_validate(policy),
        source="settings" if own is None else "request",
        active=policy.active,
    )


@router.put(
    "",
    operation_id="set_retention",
    summary="Set the retention policy",
    description=(
        "Holds from now on in place of that of the settings. Nothing is removed by this: the policy is applied when it "
        "is asked for, and after each scheduled backup that succeeded. A policy whose every rule keeps nothing is "
        "refused; one without rules removes nothing."
    ),
    responses=problems(*_BODY, Code.RETENTION_KEEPS_NOTHING, Code.UNKNOWN_TIMEZONE, Code.INVALID_SETTING),
)
async def set_retention(given: Given, wanted: Annotated[PolicyModel, Body()]) -> RetentionModel:
    """Set the policy."""
    await asyncio.to_thread(RetentionFile(given.settings).write, wanted.as_policy())
    return await get_retention(given)


@router.delete(
    "",
    operation_id="reset_retention",
    summary="Forget the retention policy",
    description="Lets the policy of the settings hold again.",
    responses=problems(Code.INVALID_SETTING),
)
async def reset_retention(given: Given) -> RetentionModel:
    """Forget the policy that was set here."""
    await asyncio.to_thread(RetentionFile(given.settings).forget)
    return await get_retention(given)


@previews.post(
    "/preview",
    operation_id="preview_retention",
    summary="Try a retention policy",
    description=(
        "What the policy in the body, or without one the policy that holds, makes of each archive, and why; nothing "
        "is changed. Backups of different choices of parts, and partial ones, are counted apart from one another. "
        "Safety archives, archives that a job uses and the last one that verified always stay."
    ),
    responses=problems(
        *_BODY,
        Code.RETENTION_KEEPS_NOTHING,
        Code.UNKNOWN_TIMEZONE,
        Code.INVALID_SETTING,
        Code.FILE_UNREADABLE,
        Code.REDIS_UNAVAILABLE,
        Code.INTERNAL,
    ),
)
async def preview_retention(
    given: Given,
    wanted: Annotated[PolicyModel | None, Body(openapi_examples={"usual": {"value": _POLICY}})] = None,
) -> PreviewModel:
    """Decide, and change nothing."""
    policy = await asyncio.to_thread(RetentionFile(given.settings).read) if wanted is None else wanted.as_policy()
    plan = await plan_pruning(given.settings, given.store, given.jobs.store, policy)
    return PreviewModel(
        policy=PolicyModel.model_validate(policy),
        decisions=[DecisionModel.of(decision) for decision in plan.decisions],
        removed=len(plan.removals),
        freed=sum(entry.size for entry in plan.removals),
        held=None if plan.held is None else HeldModel.model_validate(plan.held),
    )


@router.post(
    "/apply",
    status_code=202,
    operation_id="apply_retention",
    summary="Apply the retention policy",
    description=(
        "Queues a job of the kind `prune` that removes what the policy that holds does not keep. It decides anew when "
        "it runs. Where the newest backup is partial, damaged or much smaller than usual, or the last one failed, it "
        "removes nothing and ends `partial` with `retention_held`. Its `backup_id` is empty."
    ),
    responses={202: LOCATION, **problems(*_BODY, Code.INVALID_SETTING, *REFUSALS)},
)
async def apply_retention(
    given: Given, submitting: Submitting, wanted: Annotated[ApplyRequest, Body(default_factory=ApplyRequest)]
) -> Accepted:
    """Queue a prune."""
    if (before := await submitting.made_before()) is not None:
        return before
    await asyncio.to_thread(RetentionFile(given.settings).read)
    request = {"despite_anomaly": wanted.despite_anomaly}
    return await submitting.submit(JobKind.PRUNE, "", request, secret=None, webhook=wanted.webhook)
