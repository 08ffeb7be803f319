"""Every operator action on jobs: permitted, done, recorded, told; one function each, for admin, REST and command line.

Each checks the permission, changes what can be changed in one transaction, writes an `OperatorAction` for every object
(who, what, why, before and after) and an event for the others to see. What cannot be done is refused with a reason,
one by one; nothing is half done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jobs.acting import (
    MAX_AT_ONCE,
    ActionResult,
    Actor,
    Refusal,
    acting,
    checked_ids,
    checked_reason,
    ids_of,
    record,
    record_moves,
    result_of,
    transaction_now,
)
from jobs.deadletters import discard, replay
from jobs.errors import ActionRefused, NotFound
from jobs.models import Job, Workflow
from jobs.payloads import check_integer
from jobs.states import FINISHED, State
from jobs.store import moving

__all__ = [
    "MAX_AT_ONCE",
    "ActionResult",
    "Actor",
    "Refusal",
    "acting",
    "cancel",
    "cancel_workflow",
    "discard",
    "record",
    "replay",
    "run_now",
    "set_priority",
    "transaction_now",
]


def cancel(actor: Actor, ids: Iterable[int], *, reason: str = "") -> ActionResult:
    """Cancel jobs that wait; ask the workers of those that run. Permission `jobs.cancel_job`."""
    actor.require("jobs.cancel_job")
    wanted, reason = checked_ids(ids), checked_reason(reason)

    def work(cursor: Any) -> ActionResult:
        moving.hold_running(cursor, wanted)
        closed = moving.close(cursor, wanted, State.CANCELLED, reason=reason or f"cancelled by {actor.name}")
        left = [job for job in wanted if job not in ids_of(closed)]
        asked = (
            moving.request_cancel(cursor, left, reason=reason or f"cancelled by {actor.name}") if left else []
        )
        record_moves(cursor, actor, "cancel", closed, State.CANCELLED, reason)
        record_moves(cursor, actor, "request cancel of", asked, State.RUNNING, reason)
        return result_of(wanted, closed, asked, "is {state} and cannot be cancelled")

    return acting(work)


def run_now(actor: Actor, ids: Iterable[int], *, reason: str = "") -> ActionResult:
    """Jobs that wait for time become available. Permission `jobs.run_now_job`."""
    actor.require("jobs.run_now_job")
    wanted, reason = checked_ids(ids), checked_reason(reason)

    def work(cursor: Any) -> ActionResult:
        moved = moving.promote(cursor, wanted, anyway=True)
        record_moves(cursor, actor, "run now", moved, State.AVAILABLE, reason)
        return result_of(wanted, moved, [], "is {state}; only scheduled and retryable jobs can be run now")

    return acting(work)


def set_priority(actor: Actor, ids: Iterable[int], priority: int, *, reason: str = "") -> ActionResult:
    """Change the priority (-100..100) of jobs that wait. Permission `jobs.reprioritise_job`."""
    actor.require("jobs.reprioritise_job")
    wanted, reason = checked_ids(ids), checked_reason(reason)
    check_integer(priority, field="priority", low=-100, high=100)

    def work(cursor: Any) -> ActionResult:
        moved = moving.set_priority(cursor, wanted, priority)
        for job in moved:
            before, after = {"priority": job.before}, {"priority": priority}
            record(
                cursor, actor, "change priority of", "job", job.id, reason=reason, before=before, after=after
            )
        return result_of(wanted, moved, [], "is {state}; only the priority of waiting jobs can be changed")

    return acting(work)


def cancel_workflow(actor: Actor, workflow_id: int, *, reason: str = "") -> ActionResult:
    """Cancel every job of a workflow that has not ended. Permission `jobs.cancel_workflow`."""
    actor.require("jobs.cancel_workflow")
    reason = checked_reason(reason)
    why = reason or f"workflow cancelled by {actor.name}"

    def work(cursor: Any) -> ActionResult:
        ids = list(
            Job.objects.filter(workflow_id=workflow_id)
            .exclude(state__in=FINISHED)
            .values_list("id", flat=True)
        )
        # The workflow's row last, as workers do: they hold their jobs when they come to its counts.
        moving.hold_running(cursor, ids)
        moving.hold(cursor, ids)
        workflow = Workflow.objects.select_for_update().filter(pk=workflow_id).first()
        if workflow is None:
            raise NotFound(f"There is no workflow {workflow_id}.")
        if workflow.state not in ("running", "failed"):
            raise ActionRefused(f"The workflow is {workflow.state} and cannot be cancelled.")
        if not ids:
            raise ActionRefused("Every job of the workflow has ended: nothing is left to cancel.")
        Workflow.objects.filter(pk=workflow_id).update(cancelled_at=transaction_now(cursor))
        closed = moving.close(cursor, ids, State.CANCELLED, reason=why)
        dead = moving.close(
            cursor, [job for job in ids if job not in ids_of(closed)], State.DISCARDED, reason=why
        )
        left = [job for job in ids if job not in ids_of(closed) | ids_of(dead)]
        asked = moving.request_cancel(cursor, left, reason=why) if left else []
        after = {"cancelled": len(closed), "discarded": len(dead), "asked to stop": len(asked)}
        before = {"state": workflow.state}
        record(cursor, actor, "cancel", "workflow", workflow_id, reason=reason, before=before, after=after)
        return ActionResult(done=sorted(ids_of(closed) | ids_of(dead)), requested=sorted(ids_of(asked)))

    return acting(work)
