"""A queue and a schedule for operators' actions."""

from __future__ import annotations

from typing import Any

import jobs
from jobs import steering
from jobs.control import Actor
from jobs.models import Schedule

ME = Actor(name="me")
FIELDS: dict[str, Any] = {
    "name": "nightly",
    "kind": "test.echo",
    "payload": {"n": 1},
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
}


def schedule(**fields: Any) -> Schedule:
    return steering.create_schedule(ME, **{**FIELDS, **fields})


def queue() -> str:
    jobs.submit("test.echo")
    return "test"
