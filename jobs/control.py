"""Every operator action: permitted, done, recorded, told; one function each, for the admin, REST and the command line.

Each checks the permission, changes what can be changed in one transaction, writes an `OperatorAction` for every object
(who, what, why, before and after) and an event for the others to see. What cannot be done is refused with a reason,
one by one; nothing is half done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection, transaction

from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.events import EventKind, ops_event
from jobs.models import Job, OperatorAction, Workflow
from jobs.payloads import check_integer, check_text
from jobs.states import FINISHED, State
from jobs.store import moving
from jobs.store.values import Moved
from notifications.doorbell import ring
from notifications.log import append

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
]

Result = TypeVar("Result")
MAX_AT_ONCE = 10_000
_DEADLOCK = "40P01"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user of the admin or the API, or the command line of the server (`user` None), which may do all."""

    user: Any = None
    name: str = "command line"

    @classmethod
    def of(cls, user: Any) -> Actor:
        return cls(user=user, name=user.get_username())

    def require(self, permission: str) -> None:
        """Raise PermissionDenied without `permission` (`jobs.cancel_job` and the like)."""
        if self.user is not None and not self.user.has_perm(permission):
            raise PermissionDenied(f'"{self.name}" lacks the permission {permission}.')


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One object an action left alone, and why."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """What an action did: ids it changed, ids it asked a worker about, and what it refused."""

    done: list[int] = field(default_factory=list)
    requested: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def cancel(actor: Actor, ids: Iterable[int], *, reason: str = "") -> ActionResult:
    """Cancel jobs that wait; ask the workers of those that run. Permission `jobs.cancel_job`."""
    actor.require("jobs.cancel_job")
    wanted, reason = _ids(ids), _reason(reason)

    def work(cursor: Any) -> ActionResult:
        moving.hold_running(cursor, wanted)
        closed = moving.close(cursor, wanted, State.CANCELLED, reason=reason or f"cancelled by {actor.name}")
        left = [job for job in wanted if job not in _of(closed)]
        asked = (
            moving.request_cancel(cursor, left, reason=reason or f"cancelled by {actor.name}") if left else []
        )
        _record_moves(cursor, actor, "cancel", closed, State.CANCELLED, reason)
        _record_moves(cursor, actor, "request cancel of", asked, State.RUNNING, reason)
        return _result(wanted, closed, asked, "is {state} and cannot be cancelled")

    return acting(work)


def run_now(actor: Actor, ids: Iterable[int], *, reason: str = "") -> ActionResult:
    """Jobs that wait for time become available. Permission `jobs.run_now_job`."""
    actor.require("jobs.run_now_job")
    wanted, reason = _ids(ids), _reason(reason)

    def work(cursor: Any) -> ActionResult:
        moved = moving.promote(cursor, wanted, anyway=True)
        _record_moves(cursor, actor, "run now", moved, State.AVAILABLE, reason)
        return _result(wanted, moved, [], "is {state}; only scheduled and retryable jobs can be run now")

    return acting(work)


def set_priority(actor: Actor, ids: Iterable[int], priority: int, *, reason: str = "") -> ActionResult:
    """Change the priority (-100..100) of jobs that wait. Permission `jobs.reprioritise_job`."""
    actor.require("jobs.reprioritise_job")
    wanted, reason = _ids(ids), _reason(reason)
    check_integer(priority, field="priority", low=-100, high=100)

    def work(cursor: Any) -> ActionResult:
        moved = moving.set_priority(cursor, wanted, priority)
        for job in moved:
            before, after = {"priority": job.before}, {"priority": priority}
            record(
                cursor, actor, "change priority of", "job", job.id, reason=reason, before=before, after=after
            )
        return _result(wanted, moved, [], "is {state}; only the priority of waiting jobs can be changed")

    return acting(work)


def replay(actor: Actor, ids: Iterable[int], *, reason: str, attempts: int = 1) -> ActionResult:
    """Give dead letters `attempts` (1..1000) fresh attempts. Permission `jobs.replay_deadletter`."""
    actor.require("jobs.replay_deadletter")
    wanted, reason = _ids(ids), _reason(reason, required=True)
    check_integer(attempts, field="attempts", low=1, high=1000)

    def work(cursor: Any) -> ActionResult:
        moved = moving.replay(cursor, wanted, attempts=attempts)
        _record_moves(cursor, actor, "replay", moved, State.AVAILABLE, reason, before=State.DEAD)
        return _result(wanted, moved, [], "is {state}; only dead letters can be replayed")

    return acting(work)


def discard(actor: Actor, ids: Iterable[int], *, reason: str) -> ActionResult:
    """Decide that dead letters shall not run; what waits for them is skipped. Permission `jobs.discard_deadletter`."""
    actor.require("jobs.discard_deadletter")
    wanted, reason = _ids(ids), _reason(reason, required=True)

    def work(cursor: Any) -> ActionResult:
        moved = moving.close(cursor, wanted, State.DISCARDED, reason=reason)
        _record_moves(cursor, actor, "discard", moved, State.DISCARDED, reason)
        return _result(wanted, moved, [], "is {state}; only dead letters can be discarded")

    return acting(work)


def cancel_workflow(actor: Actor, workflow_id: int, *, reason: str = "") -> ActionResult:
    """Cancel every job of a workflow that has not ended. Permission `jobs.cancel_workflow`."""
    actor.require("jobs.cancel_workflow")
    reason = _reason(reason)
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
            cursor, [job for job in ids if job not in _of(closed)], State.DISCARDED, reason=why
        )
        left = [job for job in ids if job not in _of(closed) | _of(dead)]
        asked = moving.request_cancel(cursor, left, reason=why) if left else []
        after = {"cancelled": len(closed), "discarded": len(dead), "asked to stop": len(asked)}
        before = {"state": workflow.state}
        record(cursor, actor, "cancel", "workflow", workflow_id, reason=reason, before=before, after=after)
        return ActionResult(done=sorted(_of(closed) | _of(dead)), requested=sorted(_of(asked)))

    return acting(work)


# -- what the actions share, here and in steering.py -------------------------------------------------------------------


def acting(work: Callable[[Any], Result]) -> Result:
    """Run an action in one transaction, again after a deadlock, and ring the bells when it has committed."""
    tries = 1 if connection.in_atomic_block else 5
    for attempt in range(1, tries + 1):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                result = work(cursor)
                for channel in ("opsched_control", "opsched_jobs", "opsched_events"):
                    ring(channel)
            return result
        except OperationalError as error:
            if attempt == tries or getattr(error.__cause__, "sqlstate", None) != _DEADLOCK:
                raise
    raise AssertionError("unreachable")


def record(
    cursor: Any,
    actor: Actor,
    action: str,
    target_type: str,
    target_id: object,
    *,
    reason: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write down one action and tell the other operators."""
    entry = {"action": action, "target_type": target_type, "target_id": str(target_id), "reason": reason}
    OperatorAction.objects.create(
        actor=actor.user, actor_name=actor.name, before=before or {}, after=after or {}, **entry
    )
    append(cursor, [ops_event(EventKind.OPERATOR_ACTION, actor=actor.name, **entry)])


def transaction_now(cursor: Any) -> Any:
    cursor.execute("SELECT clock_timestamp()")
    return cursor.fetchone()[0]


def _record_moves(
    cursor: Any,
    actor: Actor,
    action: str,
    moved: Sequence[Moved],
    after: State,
    reason: str,
    before: State | None = None,
) -> None:
    if not moved:
        return
    entries = [
        OperatorAction(
            actor=actor.user,
            actor_name=actor.name,
            action=action,
            target_type="job",
            target_id=str(job.id),
            reason=reason,
            before={"state": before or job.before} if before or job.before else {},
            after={"state": after.value},
        )
        for job in moved
    ]
    OperatorAction.objects.bulk_create(entries, batch_size=1000)
    told = {"actor": actor.name, "action": action, "target_type": "job", "target_id": str(moved[0].id)}
    append(cursor, [ops_event(EventKind.OPERATOR_ACTION, reason=reason, count=len(moved), **told)])


def _of(moved: Sequence[Moved]) -> set[int]:
    return {job.id for job in moved}


def _ids(ids: Iterable[int]) -> list[int]:
    # Beyond a bigint the database would refuse the statement, not the id.
    wanted = sorted({check_integer(one, field="ids", low=-(2**63), high=2**63 - 1) for one in ids})
    if not wanted:
        raise InvalidSubmission("ids", "name at least one job")
    if len(wanted) > MAX_AT_ONCE:
        raise InvalidSubmission("ids", f"{len(wanted):,} jobs at once; at most {MAX_AT_ONCE:,} are allowed")
    return wanted


def _reason(reason: str, *, required: bool = False) -> str:
    return check_text(reason.strip(), field="reason", max_length=1000, empty=not required)


def _result(wanted: Sequence[int], done: Sequence[Moved], asked: Sequence[Moved], why: str) -> ActionResult:
    """What was asked for and not done is refused with the state it is in, or as unknown."""
    left = [job for job in wanted if job not in _of(done) | _of(asked)]
    states = dict(Job.objects.filter(pk__in=left).values_list("pk", "state")) if left else {}
    refused = [
        Refusal(
            id=job,
            reason=f"job {job} {why.format(state=states[job])}"
            if job in states
            else f"there is no job {job}",
        )
        for job in left
    ]
    return ActionResult(done=sorted(_of(done)), requested=sorted(_of(asked)), refused=refused)
