"""What a restore looks like on a terminal: its plan, its parts, its warnings, its end."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.archive.parts import Part, PartFault, PartKind, PartOutcome, PartResult
from app.jobs.memory import MemoryJobStore
from app.jobs.records import Job, JobFault, JobKind, JobState
from workers.telling import follow, tell_ended

NOW = datetime(2026, 11, 23, tzinfo=UTC)
JOB = Job("1" * 32, JobKind.RESTORE, JobState.QUEUED, NOW, "backup-20261123-020000-00000f")
COUNTS = {"files": 0, "folders": 0, "bytes": 0}


def told(capsys: pytest.CaptureFixture[str], **facts: Any) -> list[str]:
    tell_ended(replace(JOB, **{"state": JobState.SUCCEEDED, **facts}))
    return capsys.readouterr().out.splitlines()


def test_parts_and_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    vault = PartResult(Part(PartKind.COMPONENT, "vault"), PartOutcome.SUCCEEDED, files=2, bytes=3000)
    web = PartResult(Part(PartKind.COMPONENT, "web"), PartOutcome.SUCCEEDED, files=1, bytes=500)
    fault = PartFault("container_missing", "There is no container cell-mail.", "Start it.")
    mail = PartResult(Part(PartKind.VOLUME, "mailboxes", "mail"), PartOutcome.FAILED, error=fault)
    result = {"next": "Run 'make restart'.", "safety_backup_id": "backup-1"}
    assert told(capsys, components=(vault, web, mail), warnings=("odd",), result=result, state=JobState.PARTIAL) == [
        "vault: succeeded, 2 files, 3.0 kB",
        "web: succeeded, 1 file, 500 bytes",
        "mail/mailboxes: failed: There is no container cell-mail.",
        "  Start it.",
        "warning: odd",
        "what was replaced is kept as backup-1",
        "partial",
        "Run 'make restart'.",
    ]


def test_a_hint_stands_once_below_the_last_part_that_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    hints = {"a": "Start it.", "b": "Mend it.", "c": "Start it."}
    parts = [
        PartResult(Part(PartKind.VOLUME, name, "mail"), PartOutcome.FAILED, error=PartFault("x", "No.", hint))
        for name, hint in hints.items()
    ]
    assert told(capsys, components=tuple(parts), state=JobState.PARTIAL) == [
        "mail/a: failed: No.",
        "mail/b: failed: No.",
        "  Mend it.",
        "mail/c: failed: No.",
        "  Start it.",
        "partial",
    ]


def test_a_failure_says_whether_the_cell_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    fault = JobFault("swap_failed", "data/vault could not be swapped in.", "Check the disk.")
    assert told(capsys, state=JobState.FAILED, error=fault, result={"rolled_back": True, "next": "never said"}) == [
        "the cell was put back as it was",
        "failed: data/vault could not be swapped in. [swap_failed]",
        "  Check the disk.",
    ]
    assert "the cell was put back as it was" not in told(capsys, error=fault, result={"rolled_back": False})
    assert "the cell was put back as it was" not in told(capsys, error=fault, result=None)


def plan(changes: int, *, truncated: bool = False) -> dict[str, Any]:
    listed = [{"action": "create", "path": f"data/vault/[{n}]", "kind": "file", "bytes": 1} for n in range(changes)]
    counts = dict.fromkeys(("replace", "remove", "leave"), COUNTS) | {"create": {**COUNTS, "files": changes}}
    return {
        "components": [{"name": "vault", **counts, "changes": listed, "truncated": truncated}],
        "volumes": [{"name": "mail/mailboxes", "container": "cell-mail", "path": "/var/mail", "bytes": 2500}],
        "missing": [{"name": "site/pages", "message": "There is no container cell-site."}],
        "empty_secrets": ["TOKEN"],
        "space": {
            "cell_needed": 5000,
            "cell_free": None,
            "safety_at_most": 7500,
            "backups_free": 9_000_000,
            "volumes_needed": 2500,
        },
    }


def test_the_plan_of_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, request={"dry_run": True}, result={"plan": plan(2)}) == [
        "vault: 2 files to create, nothing to replace, nothing to remove, nothing to leave",
        "  create data/vault/[0]",
        "  create data/vault/[1]",
        "mail/mailboxes -> cell-mail:/var/mail, 2.5 kB",
        "missing: site/pages: There is no container cell-site.",
        "room for the cell's files: 5.0 kB",
        "  free there: not known",
        "room to save first what is replaced, at most: 7.5 kB",
        "  free there: 9.0 MB",
        "room for the data of the services: 2.5 kB",
        "succeeded",
    ]


def test_the_plan_counts_folders_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    two = plan(0)
    counts = {
        "create": {"files": 2, "folders": 1, "bytes": 9},
        "replace": {"files": 1, "folders": 0, "bytes": 9},
        "remove": {"files": 0, "folders": 2, "bytes": 0},
        "leave": {"files": 1, "folders": 12, "bytes": 9},
    }
    two["components"] = [{**two["components"][0], **counts}, {**two["components"][0], "name": "web"}]
    assert told(capsys, request={"dry_run": True}, result={"plan": two})[:2] == [
        "vault: 2 files and 1 folder to create, 1 file to replace, 2 folders to remove, 1 file and 12 folders to leave",
        "web: nothing to create, nothing to replace, nothing to remove, nothing to leave",
    ]


@pytest.mark.parametrize(("changes", "truncated"), [(21, False), (3, True)])
def test_a_long_plan_is_cut(capsys: pytest.CaptureFixture[str], changes: int, *, truncated: bool) -> None:
    lines = told(capsys, request={"dry_run": True}, result={"plan": plan(changes, truncated=truncated)})
    assert "  …" in lines
    assert len([line for line in lines if line.startswith("  create")]) == min(changes, 20)


def test_the_plan_of_a_real_run_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, result={"plan": plan(2)}) == ["succeeded"]


async def test_stages_are_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryJobStore()
    await store.create(JOB, max_queued=1)
    seen: list[str] = []

    async def work() -> None:
        for stage in ("verify", "vault"):
            await store.update(replace(JOB, state=JobState.RUNNING, stage=stage))
            while not any(stage in line for line in seen):
                seen.extend(capsys.readouterr().err.splitlines())
                await asyncio.sleep(0.02)

    async with asyncio.timeout(30):
        await follow(store, JOB.job_id, asyncio.ensure_future(work()), tell=True)
    assert [line.split()[-1] for line in seen] == ["verify", "vault"]


async def test_nothing_is_said_where_nobody_wants_it(capsys: pytest.CaptureFixture[str]) -> None:
    store = MemoryJobStore()
    await store.create(replace(JOB), max_queued=1)
    await store.update(replace(JOB, state=JobState.RUNNING, stage="verify"))
    await follow(store, JOB.job_id, asyncio.ensure_future(asyncio.sleep(0.3)), tell=False)
    assert capsys.readouterr() == ("", "")
