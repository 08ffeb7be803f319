"""What of the jobs app can be watched live: who may hear which topic, and the figures of the operations page.

Registered by `JobsConfig.ready()`, which makes no query. The figures are computed once a second and process while
somebody listens; the rates in them come from one round to the next, so they begin with the second.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from datetime import datetime
from typing import Any

from jobs import queries
from jobs.events import OPS
from jobs.operations.meter import Meter, Rate
from notifications import bus, topics

__all__ = ["FIGURES", "figures", "history", "may_read", "register"]

FIGURES = "ops:figures"
_PREFIXES = ("job:", "workflow:", "queue:", "deadletters:", OPS)

_meter = Meter()
_turn = threading.Lock()
"""Streams and pages of a process ask from several threads."""


def register() -> None:
    """Make the topics readable and the figures heard."""
    for prefix in _PREFIXES:
        topics.register(prefix, may_read)
    bus.register_source(FIGURES, 1.0, figures)


def may_read(user: Any, topic: str) -> bool:
    """Whoever may see jobs may hear of all of them."""
    return bool(user.has_perm("jobs.view_job"))


def figures() -> dict[str, Any]:
    """`queries.figures()` with rates: jobs per second in all, of each worker, of each queue; None where unknown."""
    found = queries.figures()
    with _turn:
        rates = _meter.look(
            datetime.fromisoformat(found["now"]),
            [(w["id"], datetime.fromisoformat(w["heartbeat_at"]), w["stats"]) for w in found["workers"]],
        )
    found["rate"] = _json(rates.total)
    for worker in found["workers"]:
        worker["rate"] = _json(rates.workers.get(worker["id"]))
    for queue in found["queues"]:
        queue["rate"] = None if rates.queues is None else _json(rates.queues.get(queue["name"], Rate()))
    return found


def history() -> list[tuple[float, float, float]]:
    """The last five minutes while somebody listened: (unix seconds, completed per second, failed per second)."""
    with _turn:
        return list(_meter.history)


def _json(rate: Rate | None) -> dict[str, float] | None:
    return None if rate is None else {name: round(value, 2) for name, value in asdict(rate).items()}
