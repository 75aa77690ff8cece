"""Jobs of the service: jobs, follow, cancel."""

import argparse

from app.client.service import Service
from app.commands.calling import calling, seen_to_its_end
from app.commands.parsing import Adding, add_service_options, word
from app.commands.printing import moment, print_json, print_table, say
from app.telling.ended import tell_document
from app.telling.exits import Exit, exit_of

_KINDS = ("backup", "restore", "verify", "prune")
_STATES = ("queued", "running", "succeeded", "partial", "failed", "cancelled")


def add(command: Adding) -> None:
    """Add the commands."""
    listing = command("jobs", _jobs, "List jobs, newest first.")
    listing.add_argument("--kind", choices=_KINDS, help="only jobs of this kind")
    listing.add_argument("--state", choices=_STATES, help="only jobs in this state")
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="how many at most (20)")
    following = command("follow", _follow, "Show how far a job is, until it has ended; Ctrl-C leaves it running.")
    cancelling = command("cancel", _cancel, "Cancel a job; a restore puts everything back.")
    for parser in (listing, following, cancelling):
        add_service_options(parser)
    for parser in (following, cancelling):
        parser.add_argument("job_id", type=word, metavar="JOB", help="id of the job")


def _jobs(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        wanted = {"limit": parsed.limit, "kind": parsed.kind, "state": parsed.state}
        found = await service.get("/api/jobs", {name: value for name, value in wanted.items() if value is not None})
        if parsed.json:
            print_json(found)
            return Exit.SUCCEEDED
        rows = [
            (
                job["job_id"],
                "dry run" if job["dry_run"] else job["kind"],
                job["state"],
                f"{job['progress']['percent']:.0f} %",
                moment(job["created_at"]),
                job["backup_id"],
                (job["error"] or {}).get("code"),
            )
            for job in found["jobs"]
        ]
        print_table(("JOB", "KIND", "STATE", "DONE", "CREATED", "BACKUP", "WHY"), rows)
        return Exit.SUCCEEDED

    return calling(parsed, work)


def _follow(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        job = await seen_to_its_end(service, parsed.job_id, lines=parsed.json)
        if not parsed.json:
            tell_document(job, plan=job["state"] == "succeeded" and job["dry_run"])
        return exit_of(job["state"])

    return calling(parsed, work)


def _cancel(parsed: argparse.Namespace) -> int:
    async def work(service: Service) -> int:
        job = await service.ask("POST", f"/api/jobs/{parsed.job_id}/cancel")
        if parsed.json:
            print_json(job)
        else:
            say("cancelled" if job["state"] == "cancelled" else f"{job['state']}; it stops at its next step")
        return Exit.SUCCEEDED

    return calling(parsed, work)
