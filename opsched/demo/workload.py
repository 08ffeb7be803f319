"""The demo's first content: an operator and some work of every fate, put in once, in one transaction.

The operator's account is the mark that it was done: a second start finds it and adds nothing.
"""

from __future__ import annotations

import secrets

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction

import jobs
from jobs.control import Actor
from jobs.roles import OPERATORS
from jobs.steering import create_schedule
from opsched.demo import handlers

__all__ = ["OPERATOR", "prepare"]

OPERATOR = "operator"
_BURST = 200


def prepare() -> str | None:
    """Put everything in. The operator's new password, or None when an earlier start has done it."""
    users = get_user_model()._default_manager
    if users.filter(username=OPERATOR).exists():
        return None
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        user = users.create_user(username=OPERATOR, password=password, is_staff=True)
        user.groups.add(Group.objects.get(name=OPERATORS))
        _submit()
        _schedule(Actor.of(user))
    return password


def _schedule(operator: Actor) -> None:
    create_schedule(operator, name="every minute", kind="demo.heartbeat", cron="* * * * *")
    create_schedule(
        operator, name="nightly pipeline", kind="demo.nightly", cron="0 2 * * *", timezone="Europe/Berlin"
    )


def _submit() -> None:
    handlers.nightly_pipeline()
    jobs.submit("demo.broken_import", {"line": 17})
    jobs.submit_many(
        [jobs.JobSpec(kind="demo.small", payload={"number": number}) for number in range(_BURST)]
    )
