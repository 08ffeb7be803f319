"""Waits until a workflow has ended: the doorbell wakes it, a look at least once a second is the truth.

It only reads. A database that goes away meanwhile is waited for; the workflow does not need whoever watches it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, connection

from jobs.errors import NotFound
from jobs.models import DeadLetter, Job, Workflow
from jobs.states import State
from notifications.doorbell import Listener

__all__ = ["POLL_SECONDS", "WaitedTooLong", "failures", "wait_for"]

logger = logging.getLogger("opsched.workflows")

POLL_SECONDS = 1.0
_SHORTEST_WAIT = 0.05


class WaitedTooLong(Exception):
    """The time to wait is over and the workflow is still running."""


def wait_for(
    workflow_id: int, *, timeout: float | None = None, seen: Callable[[Workflow], None] = lambda _: None
) -> Workflow:
    """The workflow as it ended. `seen` gets each look. Raises WaitedTooLong after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    listener = Listener(("opsched_events",), name="opsched wait")
    try:
        while True:
            workflow = _look(workflow_id)
            if workflow is not None:
                seen(workflow)
                if workflow.state != "running":
                    return workflow
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitedTooLong
            _pause(listener, deadline)
    finally:
        listener.close()


def _look(workflow_id: int) -> Workflow | None:
    """The workflow's row, or None while the database is away."""
    try:
        return Workflow.objects.get(pk=workflow_id)
    except Workflow.DoesNotExist:
        raise NotFound(f"There is no workflow {workflow_id}.") from None
    except (OperationalError, InterfaceError) as error:
        logger.warning("database away (%s); trying again", str(error).strip().partition("\n")[0])
        connection.close()
        return None


def _pause(listener: Listener, deadline: float | None) -> None:
    left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, max(0.0, deadline - time.monotonic()))
    began = time.monotonic()
    listener.wait(left)
    # Bells of a busy system ring twenty times a second for everything that happens; this is one workflow.
    time.sleep(max(0.0, min(left, _SHORTEST_WAIT - (time.monotonic() - began))))


def failures(workflow: Workflow, *, limit: int = 10) -> list[str]:
    """One line for each job that ended badly, dead letters first; at most `limit`."""
    letters = DeadLetter.objects.filter(job__workflow=workflow).order_by("job_id").select_related("job")
    lines = [_died(letter) for letter in letters[:limit]]
    closed = Job.objects.filter(workflow=workflow, state__in=[State.CANCELLED, State.DISCARDED]).order_by(
        "pk"
    )
    lines += [f"{job.task or job.kind} (job {job.pk}): {job.state}" for job in closed[:limit]]
    return lines[:limit]


def _died(letter: DeadLetter) -> str:
    first_line = letter.message.partition("\n")[0]
    return f"{letter.job.task or letter.kind} (job {letter.pk}): {letter.error_class}: {first_line}"
