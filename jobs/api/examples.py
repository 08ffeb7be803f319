"""The example values of the API's description; the tests send the requests among them."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ACTION", "ATTEMPT", "BULK", "DEAD_LETTER", "EFFECT", "EVENTS", "EXPLANATION", "GROUP", "ITEM", "JOB", "JOB_DETAIL",
    "JOB_REQUEST", "KIND", "LOG_LINE", "PREVIEW", "QUEUE", "RUN", "RUN_DETAIL", "SCHEDULE", "SCHEDULE_REQUEST", "SLOT",
    "SUBMITTED", "WORKER", "WORKFLOW", "WORKFLOW_REQUEST",
]  # fmt: skip

_AT = "2030-01-31T12:00:00Z"
Example = dict[str, Any]

JOB_REQUEST: Example = {
    "kind": "workflow.task",
    "payload": {"task": "report", "seconds": 0.1},
    "queue": "reports",
    "priority": 10,
    "scheduled_at": _AT,
}
SUBMITTED: Example = {"id": 12, "state": "scheduled"}
BULK: Example = {"jobs": [{"id": 12, "state": "available"}, {"id": 13, "state": "available"}]}
JOB: Example = {
    "id": 12,
    "kind": "workflow.task",
    "queue": "reports",
    "state": "scheduled",
    "priority": 10,
    "attempt": 0,
    "max_attempts": 5,
    "created_at": "2030-01-31T11:00:00Z",
    "scheduled_at": _AT,
    "ready_at": None,
    "started_at": None,
    "finished_at": None,
    "worker_id": None,
    "workflow": None,
    "task": "",
    "created_by": 1,
}
JOB_DETAIL: Example = {
    **JOB,
    "payload": {"task": "report", "seconds": 0.1},
    "result": None,
    "options": None,
    "progress": None,
    "log_loss": None,
    "error": None,
    "reason": None,
    "unique_key": None,
    "overtaken_until": None,
    "parents": [],
    "children": [],
}
ATTEMPT: Example = {
    "id": 7,
    "number": 1,
    "worker_id": 3,
    "started_at": _AT,
    "finished_at": "2030-01-31T12:00:01Z",
    "outcome": "failed",
    "error_class": "ConnectionError",
    "message": "the mail server did not answer",
    "traceback": "Traceback (most recent call last): …",
}
LOG_LINE: Example = {"id": 99, "attempt": 1, "at": _AT, "level": "info", "line": "read 120 rows"}
EFFECT: Example = {
    "id": 4,
    "key": "charge:42",
    "scope": "global",
    "attempt": 1,
    "result": {"receipt": "R-1001"},
    "created_at": _AT,
}
ACTION: Example = {"done": [12], "requested": [], "refused": []}
WORKFLOW_REQUEST: Example = {
    "name": "nightly",
    "jobs": [
        {"key": "extract", "kind": "workflow.task", "payload": {"task": "extract", "seconds": 0.1}},
        {
            "key": "report",
            "kind": "workflow.task",
            "payload": {"task": "report", "seconds": 0.1},
            "parents": ["extract"],
        },
    ],
}
WORKFLOW: Example = {
    "id": 4,
    "name": "nightly",
    "state": "running",
    "total": 2,
    "active": 1,
    "blocked": 1,
    "dead": 0,
    "completed": 0,
    "closed": 0,
    "created_at": _AT,
    "finished_at": None,
    "cancelled_at": None,
    "created_by": 1,
}
SCHEDULE_REQUEST: Example = {
    "name": "hourly report",
    "kind": "workflow.task",
    "payload": {"task": "report", "seconds": 0.1},
    "cron": "0 * * * *",
    "timezone": "Europe/Berlin",
}
SCHEDULE: Example = {
    "id": 2,
    **SCHEDULE_REQUEST,
    "queue": None,
    "priority": None,
    "misfire": "latest",
    "catch_up_seconds": 86400.0,
    "paused_at": None,
    "next_slot_at": "2030-01-31T13:00:00Z",
    "last_slot_at": _AT,
    "created_at": "2030-01-31T11:00:00Z",
    "created_by": 1,
}
SLOT: Example = {"at": _AT, "job_id": 12, "created_at": _AT}
PREVIEW: Example = {"slots": ["2030-01-31T13:00:00Z"], "local": ["2030-01-31T14:00:00+01:00"]}
DEAD_LETTER: Example = {
    "id": 12,
    "kind": "workflow.task",
    "queue": "reports",
    "error_class": "ConnectionError",
    "message": "the mail server did not answer",
    "attempts": 5,
    "fingerprint": "5f2c0d7be1a94c33",
    "died_at": _AT,
}
GROUP: Example = {
    "fingerprint": "5f2c0d7be1a94c33",
    "error_class": "ConnectionError",
    "message": "the mail server did not answer",
    "kinds": ["workflow.task"],
    "letters": 120,
    "first_seen": _AT,
    "last_seen": _AT,
    "owner": "olga",
    "note": "the mail server is being replaced",
}
RUN: Example = {
    "id": 5,
    "action": "replay",
    "state": "running",
    "operator_name": "olga",
    "filters": {"fingerprint": "5f2c0d7be1a94c33"},
    "total": 120,
    "truncated": False,
    "digest": "9f2c…",
    "reason": "the mail server is back",
    "attempts": 1,
    "canary": True,
    "per_minute": 60,
    "why": "",
    "done": 12,
    "refused": 0,
    "returned": 0,
    "undone": 0,
    "canary_job": 12,
    "canary_passed": True,
    "canary_waived": False,
    "created_at": _AT,
    "expires_at": _AT,
    "confirmed_at": _AT,
    "next_at": _AT,
    "finished_at": None,
}
RUN_DETAIL: Example = {**RUN, "preview": None, "outcomes": {"completed": 10, "available": 2}}
ITEM: Example = {
    "id": 99,
    "job_id": 12,
    "fingerprint": "5f2c0d7be1a94c33",
    "died_at": _AT,
    "state": "done",
    "reason": "",
    "done_at": _AT,
}
QUEUE: Example = {
    "name": "reports",
    "description": "Slow ones.",
    "paused_at": None,
    "ageing_seconds": 60.0,
    "weight": 1,
    "max_running": 5,
    "rate": 100,
    "rate_seconds": 60.0,
    "rate_burst": 10,
    "key_max_running": 1,
    "key_rate": None,
    "key_rate_seconds": 1.0,
    "key_rate_burst": None,
    "created_at": _AT,
}
KIND: Example = {
    "name": "workflow.task",
    "queue": "default",
    "description": "A task of a recorded workflow.",
    "registered": True,
    "paused_at": None,
    "paused_by": "",
    "reason": "",
}
EXPLANATION: Example = {
    "id": 12,
    "state": "available",
    "reasons": [
        {
            "code": "queue_limit",
            "text": "As many jobs of the queue reports run as may run at once: 1. They are held by #11.",
            "until": None,
            "jobs": [11],
        }
    ],
    "starts_at": _AT,
    "starts_note": "At the queue's recent pace.",
}
WORKER: Example = {
    "id": 3,
    "name": "worker-1",
    "hostname": "app-1",
    "pid": 4711,
    "queues": ["reports"],
    "kinds": ["workflow.task"],
    "concurrency": 8,
    "lost_running": 0,
    "strict": False,
    "state": "live",
    "started_at": _AT,
    "heartbeat_at": _AT,
    "stopped_at": None,
    "stats": {"completed": 120},
}
EVENTS: Example = {
    "events": [
        {
            "position": "0a1b2c3d-17-42-0",
            "kind": "job.completed",
            "topics": ["job:12", "queue:reports"],
            "data": {
                "job": 12,
                "kind": "workflow.task",
                "queue": "reports",
                "workflow": None,
                "state": "completed",
            },
            "at": _AT,
        }
    ],
    "position": "0a1b2c3d-17-42-0",
    "more": False,
    "reset": False,
}
