"""The prune job: removes what the retention policy does not keep, and nothing where the newest backup is odd."""

from dataclasses import asdict
from enum import StrEnum
from typing import Any

from app.catalog.base import Entry
from app.catalog.retention import Plan, Policy
from app.errors import Code, InputError
from app.jobs.records import JobFault, JobState
from app.retention.policy_file import RetentionFile
from app.retention.pruning import archives_in_use, plan_pruning
from workers.running import Ending, JobRun

_GONE_OR_KEPT = {Code.BACKUP_NOT_FOUND, Code.BACKUP_LAST_VERIFIED}


class Stage(StrEnum):
    """Name what a prune does, in order."""

    DECIDE = "decide"
    REMOVE = "remove"


async def prune(run: JobRun) -> Ending:
    """Apply the policy that holds now; partial, with the reason, where something would go but is held."""
    tools = run.tools
    with run.stage(Stage.DECIDE):
        policy = await run.threads.run(RetentionFile(tools.settings).read)
        plan = await plan_pruning(tools.settings, tools.store, tools.jobs.store, policy)
    run.result = _result(policy, plan)
    if plan.held is not None and plan.removals and not run.job.request.get("despite_anomaly"):
        run.warnings.append(f"Nothing was removed. {plan.held.message}")
        fault = JobFault(plan.held.code, f"Nothing was removed. {plan.held.message}", plan.held.hint)
        return Ending(JobState.PARTIAL, run.result, error=fault)
    with run.stage(Stage.REMOVE):
        for entry in plan.removals:
            await run.check_may_publish()
            await _remove(run, entry, run.result)
    return Ending(JobState.SUCCEEDED, run.result)


async def _remove(run: JobRun, entry: Entry, result: dict[str, Any]) -> None:
    """Remove one archive, unless a job wants it by now or it is the last one that verified."""
    if entry.backup_id in await archives_in_use(run.tools.settings, run.tools.jobs.store):
        run.warnings.append(f"{entry.backup_id} stays: a job uses it.")
        return
    try:
        await run.threads.run(run.tools.store.remove, entry.backup_id)
    except InputError as error:
        if error.code not in _GONE_OR_KEPT:
            raise
        run.warnings.append(f"{entry.backup_id} was left: {error.message}")
        return
    result["removed"].append(entry.backup_id)
    result["freed"] += entry.size


def _result(policy: Policy, plan: Plan) -> dict[str, Any]:
    return {
        "policy": asdict(policy),
        "to_remove": len(plan.removals),
        "to_keep": len(plan.decisions) - len(plan.removals),
        "removed": [],
        "freed": 0,
    }
