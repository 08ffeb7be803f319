"""What operators did and how workers came and went, newest first, in the shape that the events of `ops` have.

For a page that begins: from then on it hears the events themselves. Reads the newest rows by index; nothing grows.
"""

from __future__ import annotations

from typing import Any

from jobs.events import EventKind
from jobs.models import OperatorAction, WorkerProcess

__all__ = ["LENGTH", "recent"]

LENGTH = 20

_ENDED = {"stopped": EventKind.WORKER_STOPPED, "lost": EventKind.WORKER_LOST}


def recent() -> list[dict[str, Any]]:
    """Up to `LENGTH` entries: kind, at (ISO 8601), data."""
    entries = [*_actions(), *_workers()]
    return sorted(entries, key=lambda entry: entry["at"], reverse=True)[:LENGTH]


def _actions() -> list[dict[str, Any]]:
    return [
        {
            "kind": EventKind.OPERATOR_ACTION.value,
            "at": action.at.isoformat(),
            "data": {
                "actor": action.actor_name,
                "action": action.action,
                "target_type": action.target_type,
                "target_id": action.target_id,
                "reason": action.reason,
            },
        }
        for action in OperatorAction.objects.order_by("-at", "id")[:LENGTH]
    ]


def _workers() -> list[dict[str, Any]]:
    entries = []
    for worker in WorkerProcess.objects.order_by("-pk")[:LENGTH]:
        data = {"worker": worker.pk, "name": worker.name, "hostname": worker.hostname, "pid": worker.pid}
        moments = [(EventKind.WORKER_STARTED, worker.started_at)]
        if worker.stopped_at is not None and worker.state in _ENDED:
            moments.append((_ENDED[worker.state], worker.stopped_at))
        entries += [{"kind": kind.value, "at": at.isoformat(), "data": data} for kind, at in moments]
    return entries
