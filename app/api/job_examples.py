"""What jobs look like, for the documentation."""

import json
from typing import Any

from app.api.problems import EXAMPLE_JOB_ID
from app.api.webhook_fields import EXAMPLE_DELIVERY_ID

_BACKUP_ID = "backup-20261123-020000-9f2c1a"
_SAFETY_ID = "backup-20261124-091506-51c0de"
_PART = {"kind": "component", "name": "vault", "outcome": "succeeded", "files": 12, "bytes": 40960}
_DONE = {
    "percent": 100.0,
    "bytes_done": 555745280,
    "bytes_total": 555745280,
    "estimated": False,
    "files_done": 20684,
    "current": None,
    "rate": None,
    "eta_seconds": None,
}
JOB_EXAMPLE: dict[str, Any] = {
    "job_id": EXAMPLE_JOB_ID,
    "kind": "backup",
    "dry_run": False,
    "state": "running",
    "backup_id": _BACKUP_ID,
    "stage": "volumes",
    "progress": {
        "percent": 41.5,
        "bytes_done": 230686720,
        "bytes_total": 555745280,
        "estimated": True,
        "files_done": 10342,
        "current": "mail/mailboxes",
        "rate": 98566144.0,
        "eta_seconds": 3.3,
    },
    "components": [_PART],
    "warnings": [],
    "error": None,
    "result": None,
    "created_at": "2026-11-23T02:00:00Z",
    "started_at": "2026-11-23T02:00:00.350Z",
    "finished_at": None,
    "cancel_requested": False,
    "asked_by": "nightly",
}
STREAM_EXAMPLE = f"""\
event: progress
data: {json.dumps({key: JOB_EXAMPLE[key] for key in ("state", "stage", "progress")})}
id: 1795399200350-0

"""
_ENDED = JOB_EXAMPLE | {
    "kind": "restore",
    "dry_run": False,
    "state": "succeeded",
    "stage": "finish",
    "progress": _DONE,
    "finished_at": "2026-11-23T02:00:21.120Z",
}
_PLAN = {
    "archive": {
        "backup_id": _BACKUP_ID,
        "created_at": "2026-11-23T02:00:00+00:00",
        "cell_name": "home",
        "domain": "cell.example",
        "files": 20684,
        "bytes": 555745280,
    },
    "cell": {"cell_name": "home", "domain": "cell.example"},
    "components": [
        {
            "name": "vault",
            "create": {"files": 1, "bytes": 1204},
            "replace": {"files": 1, "bytes": 2310},
            "remove": {"files": 0, "bytes": 0},
            "leave": {"files": 10, "bytes": 37446},
            "changes": [
                {"action": "create", "path": "data/vault/ca.crt", "kind": "file", "bytes": 1204, "bytes_now": None},
                {"action": "replace", "path": "data/vault/keys.json", "kind": "file", "bytes": 2310, "bytes_now": 1987},
            ],
            "truncated": False,
        }
    ],
    "volumes": [
        {
            "name": "mail/mailboxes",
            "container": "cell-mail",
            "state": "running",
            "path": "/var/mail",
            "mode": "equal",
            "quiesce": "none",
            "files": 20623,
            "bytes": 555000000,
            "bytes_now": 554100000,
            "bytes_free": 91268055040,
        }
    ],
    "missing": [],
    "empty_secrets": ["SMTP_PASSWORD"],
    "warnings": [],
    "space": {
        "cell_needed": 3514,
        "cell_free": 91268055040,
        "safety_at_most": 554101987,
        "backups_free": 91268055040,
        "volumes_needed": 555000000,
    },
}
RESTORE_EXAMPLE: dict[str, Any] = _ENDED | {
    "result": {
        "steps": [
            {"stage": "verify", "state": "succeeded", "seconds": 5.1, "files": 20684, "bytes": 555745280},
            {"stage": "plan", "state": "succeeded", "seconds": 0.1},
            {"stage": "safety", "state": "succeeded", "seconds": 4.9, "backup_id": _SAFETY_ID, "size": 361004211},
            {"stage": "vault", "state": "succeeded", "seconds": 0.02},
            {"stage": "reload", "state": "succeeded", "seconds": 0.01},
            {"stage": "volumes", "state": "succeeded", "seconds": 6.2, "files": 20623, "bytes": 555000000},
            {"stage": "regenerate", "state": "succeeded", "seconds": 0.8},
            {"stage": "finish", "state": "succeeded", "seconds": 0.1},
        ],
        "plan": _PLAN,
        "safety_backup_id": _SAFETY_ID,
        "next": "Run 'make restart' in the cell root, so that every container reads what was restored.",
    },
}
DRY_RUN_EXAMPLE: dict[str, Any] = _ENDED | {
    "dry_run": True,
    "stage": "plan",
    "components": [],
    "result": {
        "steps": [
            {"stage": "verify", "state": "succeeded", "seconds": 5.1, "files": 20684, "bytes": 555745280},
            {"stage": "plan", "state": "succeeded", "seconds": 0.1},
        ],
        "plan": _PLAN,
    },
}
_DELIVERED = {
    "delivery_id": EXAMPLE_DELIVERY_ID,
    "target": "request",
    "origin": "https://hooks.example",
    "state": "delivered",
    "attempts": [{"at": "2026-11-23T02:00:21.6Z", "seconds": 0.12, "status": 204, "error": None, "answer": ""}],
    "created_at": "2026-11-23T02:00:21.5Z",
    "next_at": None,
}
JOB_EXAMPLES: dict[str, Any] = {
    "backup": {"summary": "A backup that runs", "value": JOB_EXAMPLE | {"webhooks": []}},
    "restore": {"summary": "A restore that has succeeded", "value": RESTORE_EXAMPLE | {"webhooks": [_DELIVERED]}},
    "dry_run": {"summary": "A dry run of a restore", "value": DRY_RUN_EXAMPLE | {"webhooks": []}},
}
